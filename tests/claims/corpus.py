"""Claims with verdicts worked out by hand.

The truth of a published model is the number of parameters and of multiply-accumulates that torchvision publishes with its weights, and the
architecture's own sizes; of the example, what `tests/examples` derives from its description; of the rest, the content of the row. A
figure of torchvision's tables or a paper is `true`, `other` (true under another convention) or `false` by its printed digits alone:

    resnet18            11,689,512 params    1.814 GMACs    46,758,048 bytes = 44.59 MiB    conv and linear weights 11,678,912
    resnet50            25,557,032           4.089          102,228,128      = 97.49                                25,502,912
    mobilenet_v2         3,504,872           0.3008          14,019,488      = 13.37                                 3,469,760
    mobilenet_v3_small   2,542,856           0.05651                                                                 2,525,832
    mobilenet_v3_large   5,483,032           0.2166                                                                  5,451,272
    efficientnet_b0      5,288,548           0.3858                                                                  5,236,192
    vit_b_16            86,567,656          17.564                                                                  86,292,480
    swin_t              28,288,354           4.491                                                                  28,199,424
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One claim: `model` (or `model < other`, compared with the other), what of it, the figure as written, and the verdict."""

    model: str
    metric: str
    scope: str
    figure: str
    verdict: str


def _read(table: str) -> list[Row]:
    rows = []
    for line in table.strip().splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            rows.append(Row(*(cell.strip() for cell in line.split("|"))))
    return rows


PUBLISHED = _read("""
resnet18           | params         |        | 11.7M          | true
resnet18           | params         |        | 11,689,512     | true
resnet18           | params         |        | 11.69M         | true
resnet18           | params         |        | 12M            | true
resnet18           | params         |        | 11.2M          | false
resnet18           | params         |        | 11.8M          | false
resnet18           | macs           |        | 1.8 GMACs      | true
resnet18           | macs           |        | 1.81 GMACs     | true
resnet18           | macs           |        | 1.82 GMACs     | false
resnet18           | macs           |        | 3.63 GMACs     | other
resnet18           | flops          |        | 1.8 GFLOPs     | other
resnet18           | flops          |        | 3.6 GFLOPs     | true
resnet18           | flops          |        | 1.9 GFLOPs     | false
resnet18           | param_bytes    |        | 46.8 MB        | true
resnet18           | param_bytes    |        | 44.6 MiB       | true
resnet18           | param_bytes    |        | 44.6 MB        | other
resnet18           | param_bytes    |        | 46.8 MiB       | other
resnet18           | param_bytes    |        | 45.5 MB        | false
resnet18           | modules:Conv2d |        | 20             | true
resnet18           | modules:Conv2d |        | 18             | false
resnet18           | modules:BasicBlock |    | 8              | true
resnet18           | modules:Linear |        | 1              | true
resnet18           | setting:in_features | fc | 512            | true
resnet18           | setting:in_features | fc | 2048           | false
resnet18           | shape          | layer4 | [B, 512, H/32, W/32] | true
resnet18           | shape          | layer4 | [B, 512, 7, 7]       | true
resnet18           | shape          | layer4 | (N, 512, 7, 7)       | true
resnet18           | shape          | layer4 | [B, 512, H/16, W/16] | false
resnet18           | shape          | layer4 | [B, 2048, H/32, W/32] | false
resnet18           | stride         | layer3 | 16             | true
resnet18           | stride         | layer3 | 8              | false
resnet50           | params         |        | 25.6M          | true
resnet50           | params         |        | 25.5M          | other
resnet50           | params         |        | 25.6 million   | true
resnet50           | params         |        | 26M            | true
resnet50           | params         |        | 25,557,032     | true
resnet50           | params         |        | 25_557_032     | true
resnet50           | params         |        | 25,557,031     | false
resnet50           | params         |        | 25,502,912     | other
resnet50           | params         |        | 25,530,472     | other
resnet50           | params         |        | 23.5M          | false
resnet50           | flops          |        | 4.1 GFLOPs     | other
resnet50           | flops          |        | 3.8 GFLOPs     | false
resnet50           | flops          |        | 8.2 GFLOPs     | true
resnet50           | flops          |        | 8.2B FLOPs     | true
resnet50           | macs           |        | 4.09 GMACs     | true
resnet50           | macs           |        | 4.1G           | true
resnet50           | param_bytes    |        | 102 MB         | true
resnet50           | param_bytes    |        | 97.5 MB        | other
resnet50           | param_bytes    |        | 98 MB          | false
resnet50           | modules:Bottleneck |    | 16             | true
resnet50           | modules:Conv2d |        | 53             | true
resnet50           | modules:Conv2d |        | 50             | false
resnet50           | shape          | layer3 | [B, 1024, H/16, W/16] | true
resnet50           | shape          | layer3 | [B, 1024, H/32, W/32] | false
resnet50           | setting:out_features | fc | 1000          | true
resnet50           | presence       | fc     | present        | true
resnet50           | presence       | head   | present        | false
resnet50           | presence:BasicBlock |   | absent         | true
resnet18 < resnet50 | params        |        | 2.19x          | true
resnet18 < resnet50 | params        |        | 2.2x           | true
resnet18 < resnet50 | params        |        | 2.5x           | false
resnet18 < resnet50 | params        |        | 54%            | true
resnet18 < resnet50 | params        |        | 54.3 %         | true
resnet18 < resnet50 | params        |        | 55%            | false
resnet18 < resnet50 | params        |        | -54%           | true
resnet18 < resnet50 | params        |        | +54%           | false
resnet18 < resnet50 | params        |        | 13.9M          | true
resnet18 < resnet50 | params        |        | 13,867,520     | true
resnet18 < resnet50 | params        |        | 14.9M          | false
resnet18 < resnet50 | presence:Bottleneck |  | gone           | true
resnet18 < resnet50 | presence:BasicBlock |  | new            | true
resnet18 < resnet50 | presence:Conv2d |      | new            | false
mobilenet_v2       | params         |        | 3.5M           | true
mobilenet_v2       | params         |        | 3.4M           | false
mobilenet_v2       | params         |        | 3.47M          | other
mobilenet_v2       | macs           |        | 300M Mult-Adds | false
mobilenet_v2       | macs           |        | ~300M Mult-Adds | true
mobilenet_v2       | macs           |        | 301M MACs      | true
mobilenet_v2       | flops          |        | 0.3 GFLOPs     | other
mobilenet_v2       | flops          |        | 0.6 GFLOPs     | true
mobilenet_v2       | flops          |        | 600M FLOPs     | false
mobilenet_v2       | modules:Conv2d |        | 52             | true
mobilenet_v2       | modules:InvertedResidual | | 17          | true
mobilenet_v2       | modules:InvertedResidual | | 19          | false
mobilenet_v2       | setting:p      | classifier.0 | 0.2      | true
mobilenet_v2       | setting:p      | classifier   | 0.1      | false
mobilenet_v2       | param_bytes    |        | 14 MB          | true
mobilenet_v2       | param_bytes    |        | 13.4 MB        | other
mobilenet_v3_small | params         |        | 2.5M           | true
mobilenet_v3_small | params         |        | 2.54M          | true
mobilenet_v3_small | params         |        | 2.9M           | false
mobilenet_v3_small | macs           |        | 56M MAdds      | false
mobilenet_v3_small | macs           |        | 57M MAdds      | true
mobilenet_v3_small | macs           |        | ~56M MAdds     | true
mobilenet_v3_small | macs           |        | 66M MAdds      | false
mobilenet_v3_large | params         |        | 5.5M           | true
mobilenet_v3_large | params         |        | 5.4M           | false
mobilenet_v3_large | params         |        | ~5.4M          | true
mobilenet_v3_large | macs           |        | 219M MAdds     | false
mobilenet_v3_large | macs           |        | 217M           | true
mobilenet_v3_large | flops          |        | 0.22 GFLOPs    | other
mobilenet_v3_small < mobilenet_v3_large | params | | 2.16x      | true
mobilenet_v3_small < mobilenet_v3_large | params | | 2.1x       | false
mobilenet_v3_small < mobilenet_v3_large | params | | 54%        | true
efficientnet_b0    | params         |        | 5.3M           | true
efficientnet_b0    | params         |        | 5.29M          | true
efficientnet_b0    | params         |        | 5.2M           | other
efficientnet_b0    | params         |        | 7.8M           | false
efficientnet_b0    | flops          |        | 0.39B FLOPs    | other
efficientnet_b0    | flops          |        | 390M FLOPs     | false
efficientnet_b0    | flops          |        | 0.77 GFLOPs    | true
efficientnet_b0    | macs           |        | 0.39 GMACs     | true
efficientnet_b0    | macs           |        | 386M MACs      | true
vit_b_16           | params         |        | 86.6M          | true
vit_b_16           | params         |        | 87M            | true
vit_b_16           | params         |        | 86M            | other
vit_b_16           | params         |        | 85M            | false
vit_b_16           | macs           |        | 17.6 GMACs     | true
vit_b_16           | flops          |        | 17.6 GFLOPs    | other
vit_b_16           | flops          |        | 17.5 GFLOPs    | false
vit_b_16           | flops          |        | 35.1 GFLOPs    | true
vit_b_16           | flops          |        | 55.4 GFLOPs    | false
vit_b_16           | children       | encoder.layers | 12     | true
vit_b_16           | children       | encoder.layers | 24     | false
vit_b_16           | setting:num_heads | encoder  | 12        | true
vit_b_16           | setting:num_heads | encoder  | 16        | false
vit_b_16           | shape          | conv_proj | [B, 768, H/16, W/16] | true
vit_b_16           | shape          | encoder | [B, 197, 768] | true
vit_b_16           | shape          | encoder | [B, 196, 768] | false
swin_t             | params         |        | 28.3M          | true
swin_t             | params         |        | 28M            | true
swin_t             | params         |        | 29M            | false
swin_t             | flops          |        | 4.5 GFLOPs     | other
swin_t             | flops          |        | 9.0 GFLOPs     | true
swin_t             | flops          |        | 8.7 GFLOPs     | false
swin_t             | macs           |        | 4.5 GMACs      | true
swin_t             | macs           |        | 4.4 GMACs      | false
""")

# `before` and `after` of the example, with what no document says: planted false numbers, bounds, ranges, units, other readings.
PLANTED = _read("""
# without norms and biases it has 2,499,912 weights, with norms fused into convolutions 2,509,837 params
after            | params           |                   | 2.53M       | false
after            | params           |                   | 2.51M       | other
after            | params           |                   | 2.5M        | true
after            | params           |                   | 2,516,854   | false
after            | params           |                   | <2.5M       | false
after            | params           |                   | under 3M    | true
after            | params           |                   | at most 2,516,853 | true
after            | params           |                   | <2,516,853  | false
after            | params           |                   | >=2.5M      | true
after            | params           |                   | more than 3M | false
after            | params           |                   | 2-3M        | true
after            | params           |                   | 2M-2.5M     | other
after            | params           |                   | 3-4M        | false
after            | params           |                   | ~2-2.4M     | true
after            | params           |                   | 2.6–3M      | false
after            | params           | aspp.branches.3   | 1.3M        | unbound
after            | params           | decoder_stage3    | 21K         | unbound
after            | params           | decoder_stage1    | 22K         | true
after            | params           | decoder_stage1    | 21K         | false
after            | params           | decoder_stage1    | ~20K        | other
after            | params           | decoder_stage1    | 21.9K       | other
after            | params           | decoder_stage1    | 21,920      | other
after            | macs             |                   | 2.55 GMACs  | true
after            | flops            |                   | 5.1 GFLOPs  | true
after            | flops            |                   | 2.55 GFLOPs | other
after            | macs             |                   | 5.1 GMACs   | other
after            | param_bytes      |                   | 10.1 MB     | true
after            | param_bytes      |                   | 9.6 MB      | other
after            | param_bytes      |                   | 9.6 MiB     | true
after            | latency          |                   | 12 ms       | unbound
after            | setting:p        | aspp              | 0.1         | true
after            | setting:p        | aspp              | 0.3         | false
after            | setting:p        |                   | 0.1         | unbound
after            | setting:padding_mode | decoder_stage1 | zeros      | true
after            | setting:padding_mode | decoder_stage1 | reflect    | false
after            | setting:kernel_size | decoder_stage1.depthwise | 3x3 | true
after            | setting:kernel_size | decoder_stage1.depthwise | 5x5 | false
after            | setting:kernel_size | decoder_stage1.depthwise | 3   | true
after            | setting:bias     | decoder_stage1.pointwise | false  | true
after            | setting:bias     | classifier.1      | false       | false
after            | shape:in         | decoder_stage1    | [B, 160, H/8, W/8] | true
after            | shape:in         | decoder_stage1    | [B, 176, H/8, W/8] | false
after            | shape            | backbone          | [B, 576, H/16, W/16] | true
after            | shape            | backbone          | [B, 576, H/32, W/32] | false
after            | shape            | aspp              | [B, C, H/16, W/16] | true
after            | shape            | aspp              | [B, 128, H/7, W/7] | unbound
after            | presence         | mid_level_project | present     | true
after            | presence         | decoder           | absent      | true
after            | presence         | decoder           | present     | false
after < before   | presence         | decoder           | gone        | true
after < before   | presence         | backbone          | new         | false
after < before   | params           |                   | 2.71x       | true
after < before   | params           |                   | 2.7x        | true
after < before   | params           |                   | 3x          | true
after < before   | params           |                   | 3.0x        | false
after < before   | params           |                   | >2x         | true
after < before   | params           |                   | 60-65%      | true
after < before   | params           |                   | 64%         | false
after < before   | params           |                   | 4.31M       | true
after < before   | params           |                   | 4.4M        | false
after < before   | flops            |                   | 10.3x       | true
after < before   | macs             |                   | 10x         | true
after < before   | macs             |                   | 90%         | true
after < before   | macs             |                   | 91%         | false
after < before   | params           | backbone          | 1x          | true
after < before   | params           | aspp              | ~2-3M       | true
after < before   | params           | aspp              | 2-3M        | false
after < before   | params           | aspp              | 3.07M       | true
before           | dense_ratio      | decoder.0         | ~8x         | false
before           | modules:Conv2d   | decoder           | 2           | true
before           | layers           | decoder           | 6           | true
before           | children         | decoder           | 6           | true
before           | children         | aspp.branches     | 3           | false
""")

# What a model of so many parameters would be written as: the number, the figure, the verdict. 6,831,509 is 2.71 times 2,516,853.
ROUNDING = _read("""
2515000   | params | | 2.52M   | true
2514999   | params | | 2.52M   | false
2524999   | params | | 2.52M   | true
2525000   | params | | 2.52M   | false
999999    | params | | 1.00M   | true
994999    | params | | 1.00M   | false
884736    | params | | 884,736 | true
884737    | params | | 884,736 | false
884736    | params | | 885K    | true
884736    | params | | 884K    | false
884736    | params | | 0.88M   | true
18900     | params | | ~21K    | true
18899     | params | | ~21K    | false
23100     | params | | ~21K    | true
23101     | params | | ~21K    | false
21000     | params | | about 21K | true
24000     | params | | roughly 21K | false
7000000000 | params | | 7B     | true
7600000000 | params | | 7B     | false
2048      | params | | 2Ki     | true
2000      | params | | 2Ki     | true
1400      | params | | 2Ki     | false
1000 < 2675 | params | | 62.6% | true
1000 < 2663 | params | | 62.4% | true
1000 < 2000 | params | | 50%   | true
1000 < 2021 | params | | 50%   | false
1000 < 41499 | params | | 41x  | true
1000 < 41500 | params | | 42x  | true
1000 < 42500 | params | | 42x  | false
1000 < 1000 | params | | 1x    | true
1000 < 1000 | params | | 0%    | true
1000 < 1100 | params | | 0%    | false
3000000   | params | | <3M     | false
2999999   | params | | <3M     | true
3000000   | params | | ≤3M     | true
3000001   | params | | up to 3M | false
""")
