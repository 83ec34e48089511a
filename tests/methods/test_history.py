import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unpaired.methods import History


def images(numbers):
    """A batch of tiny images, each told apart by its number."""
    return torch.tensor([float(n) for n in numbers]).reshape(-1, 1, 1, 1).expand(-1, 2, 3, 3).clone()


def numbers(batch):
    assert batch.shape[1:] == (2, 3, 3)
    assert all((image == image[0, 0, 0]).all() for image in batch)
    return [int(image[0, 0, 0]) for image in batch]


def stored(history):
    return numbers(torch.stack(history.images)) if history.images else []


def full(size, seed=0):
    """A history that holds the images -1, -2, ... -size."""
    torch.manual_seed(seed)
    history = History(size)
    history(images(range(-1, -size - 1, -1)))
    return history


def test_until_it_is_full_every_image_is_stored_and_returned():
    history = History(5)
    assert numbers(history(images([1, 2]))) == [1, 2]
    assert numbers(history(images([3]))) == [3]
    assert numbers(history(images([4, 5]))) == [4, 5]
    assert stored(history) == [1, 2, 3, 4, 5]


def test_the_image_that_fills_it_ends_the_filling_within_its_batch():
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        history = History(1)
        returned = numbers(history(images([1, 2])))
        assert returned[0] == 1
        seen.add((returned[1], *stored(history)))
    assert seen == {(2, 1), (1, 2)}  # 2 kept away or exchanged for 1, never stored beside it


def test_once_full_half_of_the_images_are_exchanged():
    n = 4000
    returned = numbers(full(7)(images(range(n))))
    exchanged = sum(out != given for out, given in zip(returned, range(n), strict=True))
    assert abs(exchanged - n / 2) < 5 * math.sqrt(n) / 2  # five deviations of the binomial distribution


def test_the_choice_is_made_for_each_image_and_not_for_the_batch():
    history, mixed, batches = full(7), 0, 200
    for k in range(batches):
        given = range(8 * k, 8 * k + 8)
        exchanged = sum(out != one for out, one in zip(numbers(history(images(given))), given, strict=True))
        mixed += 0 < exchanged < 8
    assert mixed > 0.95 * batches  # 254 of 256 expected; a choice for the batch gives none


def test_an_exchange_returns_a_stored_image_and_stores_the_new_one_in_its_place():
    history, exchanges = full(4), 0
    for n in range(200):
        before = stored(history)
        (out,) = numbers(history(images([n])))
        after = stored(history)
        if out == n:
            assert after == before, "an image that was not exchanged must not be stored"
        else:
            slot = before.index(out)
            assert after == [*before[:slot], n, *before[slot + 1 :]]
            exchanges += 1
    assert 0 < exchanges < 200


@pytest.mark.slow
def test_every_slot_is_as_likely_as_another():
    history, size = full(8), 8
    hits = Counter()
    for n in range(4000):
        before = stored(history)
        (out,) = numbers(history(images([n])))
        if out != n:
            hits[before.index(out)] += 1
    expected = sum(hits.values()) / size
    chi_square = sum((hits[slot] - expected) ** 2 / expected for slot in range(size))
    assert chi_square < 40.5  # seven degrees of freedom: one in a million by chance


def test_a_history_of_size_zero_gives_the_batch_back_untouched_and_keeps_nothing():
    history, batch = History(0), images([1, 2, 3])
    for _ in range(3):
        assert history(batch) is batch
    assert history.images == []


def test_what_is_stored_does_not_change_when_the_batch_is_overwritten():
    history = full(3)
    filled, batch = History(3), images([1, 2, 3])
    filled(batch)
    batch.zero_()
    assert stored(filled) == [1, 2, 3]
    while all(n < 0 for n in stored(history)):
        batch = images([7])
        history(batch)
        batch.zero_()
    assert set(stored(history)) - {7} <= {-1, -2, -3}


def test_two_histories_made_one_after_the_other_choose_differently_and_a_seed_repeats_both():
    def choices(seed):
        torch.manual_seed(seed)
        pair = History(3), History(3)
        return [numbers(history(images(range(40)))) for history in pair]

    first, second = choices(0)
    assert first != second
    assert choices(0) == [first, second]


def test_its_choices_neither_take_from_nor_depend_on_the_global_generator():
    a, b = full(3, seed=4), full(3, seed=4)
    before = torch.get_rng_state()
    first = numbers(a(images(range(30))))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert numbers(b(images(range(30)))) == first


@pytest.mark.parametrize("already", [0, 2, 5, 60])
def test_a_loaded_state_goes_on_as_the_original_does(already):
    torch.manual_seed(0)
    original = History(5)
    if already:
        original(images(range(100, 100 + already)))
    copy = History(5)
    copy(images(range(9)))  # to be forgotten
    copy.load(original.state())
    assert stored(copy) == stored(original)
    for n in range(0, 90, 3):
        batch = images([n, n + 1, n + 2])
        assert torch.equal(copy(batch), original(batch))
        assert stored(copy) == stored(original)


def test_a_state_that_was_taken_stays_as_it_was_taken():
    history = full(3)
    state = history.state()
    names = sorted(name for name in state if name.startswith("image/"))
    before = {name: value.clone() for name, value in state.items()}
    history(images(range(50)))
    assert len(names) == 3 and all(torch.equal(state[name], before[name]) for name in state)


def test_more_than_ten_images_come_back_in_their_order():
    history = full(12)
    copy = History(12)
    copy.load(history.state())
    assert stored(copy) == list(range(-1, -13, -1))


class SlowHistory:
    """The published rule in its own words, on numbers, with the same coins and dice."""

    def __init__(self, size, random_state):
        self.size, self.past, self.random = size, [], torch.Generator()
        self.random.set_state(random_state)

    def show(self, number):
        if self.size == 0:
            return number
        if len(self.past) < self.size:  # not full yet: keep it, and show it
            self.past.append(number)
            return number
        coin = torch.rand((), generator=self.random).item()
        if coin > 0.5:  # show an old one, which the new one replaces
            k = torch.randint(self.size, (), generator=self.random).item()
            old = self.past[k]
            self.past[k] = number
            return old
        return number  # show the new one, and do not keep it


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    size=st.integers(0, 6),
    batches=st.lists(st.integers(1, 5), max_size=12),
    seed=st.integers(0, 2**32 - 1),
    saved_after=st.integers(0, 12),
)
def test_it_equals_the_published_rule_written_plainly(size, batches, seed, saved_after):
    torch.manual_seed(seed)
    history = History(size)
    slow, next_number = SlowHistory(size, history.random.get_state()), 0
    for k, length in enumerate(batches):
        if k == saved_after:  # a save and a load in between change nothing
            state = history.state()
            history = History(size)
            history.load(state)
        batch = range(next_number, next_number + length)
        next_number += length
        assert numbers(history(images(batch))) == [slow.show(n) for n in batch]
        assert stored(history) == slow.past
