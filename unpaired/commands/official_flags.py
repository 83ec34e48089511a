"""The flags of the official code's train.py and test.py, and what each is here: tables only.

docs/switching.md shows the same tables to people.
"""

from __future__ import annotations

OLD_NAMES = {
    **{"niter": "n_epochs", "niter_decay": "n_epochs_decay", "loadSize": "load_size", "fineSize": "crop_size"},
    **{"batchSize": "batch_size", "nThreads": "num_threads", "resize_or_crop": "preprocess"},
    **{"which_direction": "direction", "which_epoch": "epoch", "which_model_netG": "netG", "which_model_netD": "netD"},
    **{"identity": "lambda_identity", "how_many": "num_test", "display_single_pane_ncols": "display_ncols"},
}
"""Flags of 2017 and 2018 by their later names."""

SWITCHES = {
    *("no_flip", "no_dropout", "no_lsgan", "serial_batches", "verbose", "continue_train", "save_by_iter"),
    *("no_html", "use_wandb", "eval", "no_antialias", "no_antialias_up"),
}

OF_CUT = {
    "lambda_GAN": "method.gan_weight",
    "lambda_NCE": "method.nce_weight",
    "nce_idt": "method.identity",
    "nce_T": "method.temperature",
    "num_patches": "method.patches",
    "flip_equivariance": "method.flip_equivariance",
}
"""The settings of the flags that CUT adds."""
SAME = {
    "lr": "optim.lr",
    "beta1": "optim.beta1",
    "beta2": "optim.beta2",
    "n_epochs": "optim.epochs",
    "n_epochs_decay": "optim.decay_epochs",
    "lr_decay_iters": "optim.decay_every",
    "batch_size": "data.batch",
    "load_size": "data.load_size",
    "crop_size": "data.crop_size",
    "preprocess": "data.preprocess",
    "num_threads": "data.workers",
    "pool_size": "method.history",
    "ngf": "method.generator.width",
    "ndf": "method.discriminator.width",
    "normG": "method.generator.norm",
    "normD": "method.discriminator.norm",
    "wandb_project_name": "runtime.project",
    **OF_CUT,
}
"""The setting that takes the value unchanged."""

YES_OR_NO = {"nce_idt", "flip_equivariance", "nce_includes_all_negatives_from_minibatch"}
"""Flags of CUT with true or false as their value, true where none is given."""

EVERY = {
    "print_freq": "runtime.log_every",
    "display_freq": "runtime.sample_every",
    "save_latest_freq": "runtime.save_every",
}
"""Intervals in images there, in steps here: divided by the batch."""

BOTH_NETWORKS = {"norm": "norm", "init_type": "init", "init_gain": "init_gain"}
"""Settings of both generator and discriminator."""
STRIDED = {f"method.{network}.downsampling": "strided" for network in ("generator", "discriminator")}

CHOICES: dict[str, dict[str, dict[str, str]]] = {
    "netG": {
        "resnet_9blocks": {"method.generator.name": "resnet", "method.generator.blocks": "9"},
        "resnet_6blocks": {"method.generator.name": "resnet", "method.generator.blocks": "6"},
        "unet_256": {"method.generator.name": "unet", "method.generator.downs": "8"},
        "unet_128": {"method.generator.name": "unet", "method.generator.downs": "7"},
    },
    "netD": {"basic": {}, "n_layers": {}, "pixel": {"method.discriminator.name": "pixelgan"}},
    "norm": dict.fromkeys(("instance", "batch", "syncbatch", "sync_batch", "none"), {}),
    "gan_mode": {
        "lsgan": {"method.adversarial": "least-squares"},
        "vanilla": {"method.adversarial": "log-likelihood"},
        "hinge": {"method.adversarial": "hinge"},
    },
    "lr_policy": {
        **{"linear": {}, "lambda": {}},
        **{"step": {"optim.schedule": "step"}, "cosine": {"optim.schedule": "cosine"}},
    },
    "init_type": dict.fromkeys(("normal", "xavier", "kaiming", "orthogonal"), {}),
    "CUT_mode": dict.fromkeys(("CUT", "cut", "FastCUT", "fastcut"), {}),
    "netF": {"mlp_sample": {}},
    "netF_nc": {"256": {}},
    "nce_layers": {"0,4,8,12,16": {}},
    "nce_includes_all_negatives_from_minibatch": {"false": {}},
    "phase": {"train": {}},
    "dataset_mode": {"unaligned": {}, "aligned": {}},
    "direction": {"AtoB": {}, "BtoA": {}},
    "epoch": {"latest": {}},
    "load_iter": {"0": {}},
    "no_flip": {"": {"data.flip": "false"}},
    "no_antialias": {"": STRIDED},
    "no_antialias_up": {"": {"method.generator.upsampling": "transposed"}},
    "no_lsgan": {"": {"method.adversarial": "log-likelihood"}},
    "no_dropout": {"": {"method.generator.dropout": "false"}},
    "use_wandb": {"": {"runtime.trackers": "wandb"}},
}
"""Values with a counterpart; others are refused with the line of REASONS. The value of a switch is empty."""

REASONS = {
    "gan_mode": "the official CycleGAN has wgangp without its penalty; lsgan is the paper's",
    "lr_policy": "the official plateau watches a metric that is always 0; step and cosine are here",
    "phase": "training reads trainA and trainB; rename the folders",
    "dataset_mode": "for other data see docs/data.md",
    **dict.fromkeys(("netF", "netF_nc", "nce_layers"), "the published heads and layers"),
    "nce_includes_all_negatives_from_minibatch": "negatives are places of the same image, as published",
    **dict.fromkeys(
        ("epoch", "load_iter"),
        "a run resumes from its last checkpoint; to start from an earlier one give --from RUN/checkpoints/step-N and "
        "another --name",
    ),
}

REFUSED = {
    "max_dataset_size": ("inf", "make a folder or a list of the images to use (docs/data.md)"),
    "serial_batches": (None, "A is shuffled and B drawn at random, as published"),
    "aspect_ratio": ("1.0", "results keep the shape of each image"),
}
"""Flags without a counterpart: the value that changes nothing, and what to do."""

NOT_NEEDED = {
    "epoch_count": "the checkpoint holds the step",
    "save_epoch_freq": "checkpoints are kept by runtime.keep",
    "save_by_iter": "checkpoints are named by step",
    **dict.fromkeys(("display_id", "display_server", "display_env"), "no display server: the report is a file"),
    **dict.fromkeys(("display_port", "display_ncols"), "no display server: the report is a file"),
    "display_winsize": "the report shows images at their size",
    "update_html_freq": "report.html is rewritten by itself",
    "no_html": "report.html is one file",
    "verbose": "`unpaired info RUN` describes the networks",
    "evaluation_freq": "see runtime.validate_every",
    "easy_label": "the run has its name",
}
"""Accepted at training without effect, with the reason."""

OF_NETWORKS: dict[str, dict[str, str]] = {
    "pix2pix": {
        "method.generator.norm": "batch",
        "method.generator.dropout": "true",
        "method.discriminator.norm": "batch",
    },
    "cut": {"method.generator.init": "xavier", "method.discriminator.init": "xavier"},
    "fastcut": {"method.generator.init": "xavier", "method.discriminator.init": "xavier"},
}
"""By preset what the official code sets for any network that `--netG` and `--netD` choose."""

AT_TEST = {
    "eval": "networks are always in evaluation mode",
    "batch_size": "images are translated one by one",
    **dict.fromkeys(("load_size", "crop_size"), "the training size is in the bundle; --scale own keeps that of images"),
    "preprocess": "that of training is in the bundle; none keeps the size of images",
    "no_flip": "images are not mirrored",
    "serial_batches": "images keep their order",
    "num_threads": "images are read as needed",
    **dict.fromkeys(("netG", "netD", "ngf", "ndf", "n_layers_D", "norm", "init_type", "init_gain"), "in the bundle"),
    **dict.fromkeys(("input_nc", "output_nc", "no_dropout", "normG", "normD"), "in the bundle"),
    **dict.fromkeys(("no_antialias", "no_antialias_up"), "in the bundle"),
    **dict.fromkeys(OF_CUT, "testing computes no loss"),
    **dict.fromkeys(("netF", "netF_nc", "nce_layers"), "testing computes no loss"),
    "nce_includes_all_negatives_from_minibatch": "testing computes no loss",
    "max_dataset_size": "all images are translated",
    "num_test": "all images are translated",
    "display_winsize": "the page shows images at their size",
    "verbose": "`unpaired info RUN` describes the networks",
    "use_wandb": "testing writes no log",
    "wandb_project_name": "testing writes no log",
}
"""Accepted at testing without effect, with the reason."""

CUT_ONLY = {*OF_CUT, "CUT_mode", "netF", "netF_nc", "nce_layers", "nce_includes_all_negatives_from_minibatch"}
"""Flags of CUT's method, at training and at testing."""
BASE = {
    *("dataroot", "name", "gpu_ids", "checkpoints_dir", "model", "input_nc", "output_nc", "ngf", "ndf", "netD"),
    *("netG", "n_layers_D", "norm", "init_type", "init_gain", "no_dropout", "dataset_mode", "direction"),
    *("serial_batches", "num_threads", "batch_size", "load_size", "crop_size", "max_dataset_size", "preprocess"),
    *("no_flip", "display_winsize", "epoch", "load_iter", "verbose", "suffix", "use_wandb", "wandb_project_name"),
    *("phase", "normG", "normD", "no_antialias", "no_antialias_up"),
}
"""Flags that train.py and test.py share."""
TEST_ONLY = {"results_dir", "aspect_ratio", "eval", "num_test", "model_suffix"}
WEIGHTS = {"lambda_A", "lambda_B", "lambda_identity", "lambda_L1"}
PRESETS = {"cycle_gan": "cyclegan", "pix2pix": "pix2pix", "cut": "cut", "fastcut": "fastcut"}
"""The preset of each --model."""
NO_PRESET = {
    "colorization": "it is pix2pix from lightness to colour; make pairs of grey and colour images for pix2pix",
    "test": "it translates one folder; give it to `unpaired test`",
}
OF_OTHERS = {
    "cycle_gan": (({"lambda_L1"}, "--model pix2pix"), (CUT_ONLY, "--model cut")),
    "pix2pix": ((WEIGHTS - {"lambda_L1"}, "--model cycle_gan"), (CUT_ONLY, "--model cut")),
    **dict.fromkeys(("cut", "fastcut"), ((WEIGHTS, "--model cycle_gan or pix2pix"),)),
}
"""Flags that a --model does not take, and whose they are."""
TRAIN_ONLY = {*SAME, *EVERY, *NOT_NEEDED, *WEIGHTS, "lr_policy", "gan_mode", "continue_train", "no_lsgan"} - CUT_ONLY
KNOWN = BASE | TEST_ONLY | TRAIN_ONLY | CUT_ONLY
"""Every flag of train.py and test.py, CUT's among them, by its latest name."""

DEFAULTS = {
    **{"name": "experiment_name", "checkpoints_dir": "./checkpoints", "results_dir": "./results/", "phase": "train"},
    **{"model": "cycle_gan", "direction": "AtoB", "netG": "resnet_9blocks", "netD": "basic", "norm": "instance"},
    **{"ngf": "64", "ndf": "64", "n_layers_D": "3", "input_nc": "3", "output_nc": "3", "batch_size": "1"},
    **{"load_size": "286", "crop_size": "256", "preprocess": "resize_and_crop", "gan_mode": "lsgan", "lr": "0.0002"},
    **{"beta1": "0.5", "n_epochs": "100", "n_epochs_decay": "100", "lambda_A": "10.0", "lambda_B": "10.0"},
    **{"lambda_identity": "0.5", "pool_size": "50", "dataset_mode": "unaligned", "init_type": "normal"},
    **{"init_gain": "0.02", "lr_policy": "linear", "epoch": "latest", "load_iter": "0", "num_threads": "4"},
}
"""The official defaults, for `--suffix {model}_{netG}`."""
