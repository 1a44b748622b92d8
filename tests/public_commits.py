"""Twelve changes from public histories, rebuilt as small files in our own words: the source before, and the edits that make it after."""

from __future__ import annotations

from typing import NamedTuple


class Commit(NamedTuple):
    """A change of a model named `Net`; `edits` are parts of the source and what replaces them."""

    source: str
    shape: tuple[int, ...]
    edits: tuple[tuple[str, str], ...]


_UNET = """
def double(cin, cout):
    return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1), nn.BatchNorm2d(cout), nn.ReLU(inplace=True),
                         nn.Conv2d(cout, cout, 3, padding=1), nn.BatchNorm2d(cout), nn.ReLU(inplace=True))


class Up(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv = double(cin, cout)

    def forward(self, low, skip):
        low = F.interpolate(low, scale_factor=2, mode="bilinear", align_corners=True)
        return self.conv(torch.cat([skip, low], dim=1))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inc, self.down1, self.down2 = double(3, 8), double(8, 16), double(16, 16)
        self.up1, self.up2 = Up(32, 8), Up(16, 8)
        self.outc = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(F.max_pool2d(x1, 2))
        x3 = self.down2(F.max_pool2d(x2, 2))
        return self.outc(self.up2(self.up1(x3, x2), x1))
"""

_GPT = """
class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(16, 48), nn.Linear(16, 16)
        self.register_buffer("mask", torch.ones(8, 8).tril().bool())

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (y.view(b, t, 2, 8).transpose(1, 2) for y in self.c_attn(x).split(16, dim=2))
        att = (q @ k.transpose(-2, -1)) * 8**-0.5
        att = att.masked_fill(~self.mask[:t, :t], float("-inf"))
        y = F.softmax(att, dim=-1) @ v
        return self.c_proj(y.transpose(1, 2).reshape(b, t, c))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.attn, self.ln_2 = nn.LayerNorm(16), Attention(), nn.LayerNorm(16)
        self.c_fc, self.c_proj = nn.Linear(16, 64), nn.Linear(64, 16)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.c_proj(gelu(self.c_fc(self.ln_2(x))))


def gelu(x):
    return 0.5 * x * (1.0 + torch.tanh(0.7978845608 * (x + 0.044715 * x**3)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(4, 16)
        self.blocks = nn.ModuleList(Block() for _ in range(6))
        self.ln_f, self.head = nn.LayerNorm(16), nn.Linear(16, 20, bias=False)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln_f(x))
"""

_VIT = """
class PreNorm(nn.Module):
    def __init__(self, dim, fn):
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(dim), fn

    def forward(self, x):
        return self.fn(self.norm(x))


class FeedForward(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, 32), nn.GELU(), nn.Linear(32, dim))

    def forward(self, x):
        return self.net(x)


class Attention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.to_qkv, self.to_out = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)

    def forward(self, x):
        q, k, v = self.to_qkv(x).chunk(3, dim=-1)
        return self.to_out(((q @ k.transpose(-1, -2)) * 0.25).softmax(dim=-1) @ v)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch, self.cls = nn.Linear(12, 16), nn.Parameter(torch.zeros(1, 1, 16))
        self.layers = nn.ModuleList(
            nn.ModuleList([PreNorm(16, Attention(16)), PreNorm(16, FeedForward(16))]) for _ in range(6)
        )
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = torch.cat((self.cls.expand(x.size(0), -1, -1), self.patch(x)), dim=1)
        for attn, ff in self.layers:
            x = attn(x) + x
            x = ff(x) + x
        return self.head(x[:, 0])
"""

_SWIN = """
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.qkv, self.proj = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)
        self.norm2, self.mlp = nn.LayerNorm(16), nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def attend(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        q = q * 0.25
        return self.proj((q @ k.transpose(-2, -1)).softmax(-1) @ v)

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.layers = nn.Linear(8, 16), nn.ModuleList(Block() for _ in range(4))

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return x
"""

_YOLO = """
class Conv(nn.Module):
    def __init__(self, cin, cout, k=1):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(cin, cout, k, padding=k // 2, bias=False), nn.BatchNorm2d(cout)

    def forward(self, x):
        return F.leaky_relu(self.bn(self.conv(x)), 0.1)


class Pool(nn.Module):
    def __init__(self):
        super().__init__()
        self.cv1, self.cv2 = Conv(8, 4), Conv(16, 8)

    def forward(self, x):
        x = self.cv1(x)
        return self.cv2(torch.cat([x, F.max_pool2d(x, 5, 1, 2), F.max_pool2d(x, 9, 1, 4), F.max_pool2d(x, 13, 1, 6)], 1))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.pool, self.detect = Conv(12, 8, 3), Pool(), nn.Conv2d(8, 6, 1)

    def forward(self, x):
        x = torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)
        return self.detect(self.pool(self.stem(x)))
"""

_PSP = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU())
        self.parts = nn.ModuleList(nn.Conv2d(8, 2, 1) for _ in range(4))
        self.cls = nn.Conv2d(16, 5, 1)

    def forward(self, x):
        size = x.shape[2:]
        x = self.body(x)
        found = [x]
        for part, bins in zip(self.parts, (1, 2, 3, 6)):
            y = part(F.adaptive_avg_pool2d(x, bins))
            found.append(F.interpolate(y, x.shape[2:], mode="bilinear", align_corners=False))
        return F.interpolate(self.cls(torch.cat(found, 1)), size, mode="bilinear", align_corners=False)
"""

COMMITS: dict[str, Commit] = {
    "unet: pad the upsampled tensor to the size of the skip": Commit(
        _UNET,
        (1, 3, 16, 16),
        (
            (
                "        return self.conv(torch.cat([skip",
                "        low = F.pad(low, [0, 1, 0, 1])[..., : skip.size(2), : skip.size(3)]\n        return self.conv(torch.cat([skip",
            ),
        ),
    ),
    "unet: concatenate in the other order": Commit(_UNET, (1, 3, 16, 16), (("[skip, low]", "[low, skip]"),)),
    "nanogpt: fused attention": Commit(
        _GPT,
        (1, 8, 4),
        (
            (
                "        att = (q @ k.transpose(-2, -1)) * 8**-0.5\n"
                '        att = att.masked_fill(~self.mask[:t, :t], float("-inf"))\n'
                "        y = F.softmax(att, dim=-1) @ v\n",
                "        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)\n",
            ),
            ('        self.register_buffer("mask", torch.ones(8, 8).tril().bool())\n', ""),
        ),
    ),
    "nanogpt: torch's gelu": Commit(_GPT, (1, 8, 4), (("gelu(self.c_fc", "F.gelu(self.c_fc"),)),
    "mingpt: norms after the sums": Commit(
        _GPT,
        (1, 8, 4),
        (
            ("x = x + self.attn(self.ln_1(x))", "x = self.ln_1(x + self.attn(x))"),
            ("return x + self.c_proj(gelu(self.c_fc(self.ln_2(x))))", "return self.ln_2(x + self.c_proj(gelu(self.c_fc(x))))"),
        ),
    ),
    "vit-pytorch: the layers apply their norm themselves": Commit(
        _VIT,
        (1, 9, 12),
        (
            ("PreNorm(16, Attention(16)), PreNorm(16, FeedForward(16))", "Attention(16), FeedForward(16)"),
            ("nn.Sequential(nn.Linear(dim, 32)", "nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 32)"),
            ("self.to_qkv, self.to_out = nn", "self.norm, self.to_qkv, self.to_out = nn.LayerNorm(dim), nn"),
            ("self.to_qkv(x).chunk", "self.to_qkv(self.norm(x)).chunk"),
        ),
    ),
    "vit-pytorch: mean pooling": Commit(_VIT, (1, 9, 12), (("x[:, 0]", "x.mean(dim=1)"),)),
    "swin: cosine attention and norms after the layers": Commit(
        _SWIN,
        (1, 9, 8),
        (
            ("        q = q * 0.25\n", "        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)\n"),
            ("x + self.attend(self.norm1(x))", "x + self.norm1(self.attend(x))"),
            ("x + self.mlp(self.norm2(x))", "x + self.norm2(self.mlp(x))"),
        ),
    ),
    "yolov5: pool the pooled": Commit(
        _YOLO,
        (1, 3, 32, 32),
        (
            (
                "        return self.cv2(torch.cat([x, F.max_pool2d(x, 5, 1, 2), F.max_pool2d(x, 9, 1, 4), F.max_pool2d(x, 13, 1, 6)], 1))",
                "        y = F.max_pool2d(x, 5, 1, 2)\n        z = F.max_pool2d(y, 5, 1, 2)\n"
                "        return self.cv2(torch.cat([x, y, z, F.max_pool2d(z, 5, 1, 2)], 1))",
            ),
        ),
    ),
    "yolov5: silu": Commit(_YOLO, (1, 3, 32, 32), (("F.leaky_relu(self.bn(self.conv(x)), 0.1)", "F.silu(self.bn(self.conv(x)))"),)),
    "semseg: align corners": Commit(_PSP, (1, 3, 48, 48), (("align_corners=False", "align_corners=True"),)),
    "smp: a residual in the decoder": Commit(
        _UNET,
        (1, 3, 16, 16),
        (
            (
                "        return self.conv(torch.cat([skip, low], dim=1))",
                "        y = self.conv(torch.cat([skip, low], dim=1))\n        return F.relu(y + skip[:, : y.size(1)])",
            ),
        ),
    ),
}
