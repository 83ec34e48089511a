"""Other tools' generators, written plainly from their documented structure, with their names for the weights.

Each is a working network of its own: what it computes is what the converted one must compute.
"""

import torch
from torch import nn
from torch.nn import functional as f


def conv(channels, out, kernel, bias=True, **options):
    layer = nn.Conv2d(channels, out, kernel, bias=bias, **options)
    nn.init.normal_(layer.weight, 0, 0.3)
    if bias:
        nn.init.normal_(layer.bias, 0, 0.1)
    return layer


def deconv(channels, out, bias=True, kernel=3, output_padding=1):
    layer = nn.ConvTranspose2d(channels, out, kernel, stride=2, padding=1, output_padding=output_padding, bias=bias)
    nn.init.normal_(layer.weight, 0, 0.3)
    return layer


class Sum(nn.Module):
    """A residual block under the official name of its inside."""

    def __init__(self, w, norm, bias, dropout, reflect=True):
        super().__init__()
        pad = [nn.ReflectionPad2d(1)] if reflect else []
        p = 0 if reflect else 1
        drop = [nn.Dropout(0.5)] if dropout else []
        self.conv_block = nn.Sequential(
            *pad,
            conv(w, w, 3, bias, padding=p),
            norm(w),
            nn.ReLU(),
            *drop,
            *pad,
            conv(w, w, 3, bias, padding=p),
            norm(w),
        )

    def forward(self, x):
        return x + self.conv_block(x)


def layers(w, blocks, norm, bias, dropout=False, reflect=True, channels=3, out=3):
    """The official sequence of layers."""
    return [
        *[nn.ReflectionPad2d(3), conv(channels, w, 7, bias), norm(w), nn.ReLU()],
        *[conv(w, 2 * w, 3, bias, stride=2, padding=1), norm(2 * w), nn.ReLU()],
        *[conv(2 * w, 4 * w, 3, bias, stride=2, padding=1), norm(4 * w), nn.ReLU()],
        *[Sum(4 * w, norm, bias, dropout, reflect) for _ in range(blocks)],
        *[deconv(4 * w, 2 * w, bias), norm(2 * w), nn.ReLU()],
        *[deconv(2 * w, w, bias), norm(w), nn.ReLU()],
        *[nn.ReflectionPad2d(3), conv(w, out, 7), nn.Tanh()],
    ]


class Official(nn.Module):
    def __init__(self, w=4, blocks=6, norm=nn.InstanceNorm2d, bias=True, **options):
        super().__init__()
        self.model = nn.Sequential(*layers(w, blocks, norm, bias, **options))

    def forward(self, x):
        return self.model(x)


def tracked(channels):
    """InstanceNorm of torch 0.3: it kept statistics and, in training mode as the official test ran it, used none."""
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=True)


class Down(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.register_buffer(
            "filt", torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]).div(16).repeat(channels, 1, 1, 1)
        )

    def forward(self, x):
        return f.conv2d(f.pad(x, (1, 1, 1, 1), "reflect"), self.filt, groups=len(self.filt))[:, :, ::2, ::2]


class Up(nn.Module):
    """Zeros between the pixels, then the blur, whose four taps per axis meet two of them."""

    def __init__(self, channels):
        super().__init__()
        row = torch.tensor([1.0, 3, 3, 1]) / 4
        self.register_buffer("filt", torch.outer(row, row).repeat(channels, 1, 1, 1))

    def forward(self, x):
        x = f.pad(x, (1, 1, 1, 1), "replicate")
        b, c, h, w = x.shape
        wide = torch.zeros(b, c, 2 * h, 2 * w)
        wide[:, :, ::2, ::2] = x
        return f.conv2d(f.pad(wide, (1, 1, 1, 1)), self.filt, groups=c)[:, :, 1:-2, 1:-2][
            :, :, : 2 * h - 4, : 2 * w - 4
        ]


class CUT(nn.Module):
    """The anti-aliased generator of CUT."""

    def __init__(self, w=4, blocks=3, down=True, up=True):
        super().__init__()
        norm = nn.InstanceNorm2d

        def smaller(c):
            if not down:
                return [conv(c, 2 * c, 3, stride=2, padding=1), norm(2 * c), nn.ReLU()]
            return [conv(c, 2 * c, 3, padding=1), norm(2 * c), nn.ReLU(), Down(2 * c)]

        def larger(c):
            return [*([Up(c), conv(c, c // 2, 3, padding=1)] if up else [deconv(c, c // 2)]), norm(c // 2), nn.ReLU()]

        self.model = nn.Sequential(
            *[nn.ReflectionPad2d(3), conv(3, w, 7), norm(w), nn.ReLU(), *smaller(w), *smaller(2 * w)],
            *[Sum(4 * w, norm, True, False) for _ in range(blocks)],
            *[*larger(4 * w), *larger(2 * w), nn.ReflectionPad2d(3), conv(w, 3, 7), nn.Tanh()],
        )

    def forward(self, x):
        return self.model(x)


class Conv(nn.Module):
    """mmcv's ConvModule: padding, convolution, norm, activation; only `conv` and `bn` carry weights."""

    def __init__(self, layer, out, norm, pad=0, act=None):
        super().__init__()
        self.pad, self.conv, self.act = pad, layer, act
        layer = norm(out) if norm else nn.Identity()
        setattr(self, "bn" if isinstance(layer, nn.BatchNorm2d) else "norm", layer)

    def forward(self, x):
        x = self.conv(f.pad(x, (self.pad,) * 4, "reflect") if self.pad else x)
        x = (self.bn if hasattr(self, "bn") else self.norm)(x)
        return self.act(x) if self.act else x


class MMBlock(nn.Module):
    def __init__(self, w, norm, bias, dropout):
        super().__init__()
        drop = [nn.Dropout(0.5)] if dropout else []
        first, second = (Conv(conv(w, w, 3, bias), w, norm, 1, act) for act in (torch.relu, None))
        self.block = nn.Sequential(first, *drop, second)

    def forward(self, x):
        return x + self.block(x)


class MMagic(nn.Module):
    """Takes and gives BGR."""

    def __init__(self, w=4, blocks=9, norm=nn.InstanceNorm2d, bias=True, dropout=False):
        super().__init__()
        self.model = nn.Sequential(
            Conv(conv(3, w, 7, bias), w, norm, 3, torch.relu),
            Conv(conv(w, 2 * w, 3, bias, stride=2, padding=1), 2 * w, norm, 0, torch.relu),
            Conv(conv(2 * w, 4 * w, 3, bias, stride=2, padding=1), 4 * w, norm, 0, torch.relu),
            *[MMBlock(4 * w, norm, bias, dropout) for _ in range(blocks)],
            Conv(deconv(4 * w, 2 * w, bias), 2 * w, norm, 0, torch.relu),
            Conv(deconv(2 * w, w, bias), w, norm, 0, torch.relu),
            Conv(conv(w, 3, 7), 3, None, 3, torch.tanh),
        )

    def forward(self, x):
        return self.model(x)


class JoliGEN(nn.Module):
    def __init__(self, w=4, blocks=6):
        super().__init__()
        whole = layers(w, blocks, nn.InstanceNorm2d, True)
        self.encoder, self.decoder = nn.Module(), nn.Module()
        self.encoder.model = nn.Sequential(*whole[: 10 + blocks])
        self.decoder.model = nn.Sequential(*whole[10 + blocks :])

    def forward(self, x):
        return self.decoder.model(self.encoder.model(x))


class UNet(nn.Module):
    """The official U-Net, from the inside out; its blocks are `model.1` outermost and `model.3` within."""

    def __init__(self, w=2, downs=6, norm=nn.InstanceNorm2d, bias=True, dropout=False, channels=3, out=3):
        super().__init__()
        inner = None
        sides = [(8 * w, 8 * w)] * (downs - 4) + [(4 * w, 8 * w), (2 * w, 4 * w), (w, 2 * w)]
        for outer, width in sides:
            inner = Skip(outer, width, inner, norm, bias, dropout and outer == width and inner is not None)
        self.model = nn.Module()
        self.model.model = nn.Sequential(
            conv(channels, w, 4, bias, stride=2, padding=1), inner, nn.ReLU(), deconv(2 * w, out, True, 4, 0), nn.Tanh()
        )

    def forward(self, x):
        return self.model.model(x)


class Skip(nn.Module):
    def __init__(self, outer, width, inner, norm, bias, dropout):
        super().__init__()
        middle = [norm(width), inner] if inner else []
        up = deconv(2 * width if inner else width, outer, bias, 4, 0)
        drop = [nn.Dropout(0.5)] if dropout else []
        down = conv(outer, width, 4, bias, stride=2, padding=1)
        self.model = nn.Sequential(nn.LeakyReLU(0.2, True), down, *middle, nn.ReLU(True), up, norm(outer), *drop)

    def forward(self, x):
        x = x.clone()  # the first layer activates it in place, and the skip carries that
        return torch.cat([y := self.model[0](x), self.model[1:](y)], 1)
