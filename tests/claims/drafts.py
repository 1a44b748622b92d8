"""Change notes whose numbers were bound by hand, to score drafts with.

A number in braces is followed by what it is about: `{6.83M|before params}`, `{2.7x|after params : ratio}`, `{21K|after params stage1}`;
`-` where it is about nothing that archaudit measures. A scope may be a pattern, `*` for any; where several bindings are right, they are
separated by `/`.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Note(NamedTuple):
    """A note about a pair of models, without its marks, and what each of its numbers is about, in reading order."""

    before: str
    after: str
    text: str
    bindings: tuple[tuple[str, tuple[str, ...]], ...]


_MARK = re.compile(r"\{([^{}|]+)\|([^{}]+)\}")


def _read(before: str, after: str, marked: str) -> Note:
    bindings = tuple((mark[1], tuple(each.strip() for each in mark[2].split("/"))) for mark in _MARK.finditer(marked))
    return Note(before, after, _MARK.sub(lambda mark: mark[1], marked.lstrip("\n")), bindings)


NOTES = {
    "prose": _read(
        "before",
        "after",
        """
# Decoder slimmed

The decoder has {4|-} people on it now instead of {3|-}. Top-1 is {70.9 %|-} (was {71.2 %|-}), mIoU fell by {0.4|-} points over {3|-} runs
with {2|-} seeds. We trained {160|-} epochs on {8|-} GPUs with batch size {16|-}, learning rate {0.001|-}, and crop {512x512|-}.

Parameters went from {6.83M|before params} to {2.52M|after params}
({-63 %|after params : percent}). Params fell {2.7x|after params : ratio}.
The ASPP has {66.5 %|after params aspp : percent} fewer parameters now, {4,606,976|before params aspp}
before and {1,541,376|after params aspp}
after; it has {3|after children aspp.branches/after children aspp}
branches instead of {4|before children aspp.branches/before children aspp}.

Latency fell from {14 ms|-} to {12 ms|-}, throughput is {3x|-} higher on {1|-} GPU, and mIoU is within {0.4 %|-}. Training took {63 %|-}
of the
time. Memory of the optimizer halved ({2x|-}).
""",
    ),
    "table": _read(
        "before",
        "after",
        """
## Results

| layer | before | after |
|---|---|---|
| aspp | {4,606,976|before params aspp} | {1,541,376|after params aspp} |
| low_level_project | {864|before params low_level_project} | {576|after params low_level_project} |
| decoder_stage1 | {884,736|before params decoder.0 + *} | {22,176|after params decoder_stage1} |
| classifier | {5,397|before params classifier} | {2,709|after params classifier} |
| epochs | {160|-} | {80|-} |
| mIoU | {71.2 %|-} | {70.9 %|-} |
| pixel accuracy (%) | {93.1|-} | {92.8|-} |
| batch size | {16|-} | {32|-} |
| GMACs | {26.35|before macs} | {2.55|after macs} |
| weights (MB) | {27.3|before param_bytes} | {10.1|after param_bytes} |
| speed | {1.0x|-} | {3.1x|-} |
""",
    ),
    "list": _read(
        "before",
        "after",
        """
# Changes

- **ASPP**: {256|before setting:out_channels aspp*} → {128|after setting:out_channels aspp*} output channels,
  {3.07M|after params aspp : difference} parameters less
- **Dropout of the ASPP**: {0.3|before setting:p aspp*} → {0.1|after setting:p aspp*}
- **mid_level_project**: new, {832|after params mid_level_project} parameters
- **low_level_project**: {48|before setting:* low_level_project*} → {32|after setting:* low_level_project*} channels
- **Decoder stage 1**: {31.6x|after params decoder_stage1 : ratio} fewer params
- **Cost**: {10.3x|after macs : ratio/after flops : ratio} fewer FLOPs, from {52.7|before flops} to {5.1 GFLOPs|after flops}
- took {2|-} weeks, {3|-} reviewers and {14|-} commits
- closes {12|-} bugs; {256|-} GPUs were idle meanwhile
- needs {16|-} GB of memory on the training machine, {1.5x|-} less than before
""",
    ),
    "code": _read(
        "before",
        "after",
        """
# The code

BEFORE:

```python
self.low_level_project = nn.Sequential(
    nn.Conv2d(16, 48, kernel_size=1, bias=False),  # {48|before setting:out_channels low_level_project.0} channels
)
self.decoder = nn.Sequential(
    nn.Conv2d(304, 256, 3),  # {700,416 params|before params decoder.0}
    nn.Conv2d(256, 256, 3),  # {589,824 params|before params decoder.3}
)
```

AFTER:

```python
self.decoder_stage1 = DepthwiseSeparableConv(160, 128)  # {~22K params|after params decoder_stage1}
self.decoder_stage2 = DepthwiseSeparableConv(160, 128)  # {~22K params|after params decoder_stage2}
lr = 1e-3  # was tuned for {3|-} days
x = self.aspp(x)  # {[B, 128, H/16, W/16]|after shape aspp}
```
""",
    ),
    "resnet": _read(
        "resnet18",
        "resnet34",
        """
# From ResNet-18 to ResNet-34

ResNet-34 has {21.8M|after params} parameters and {3.66 GMACs|after macs}, ResNet-18 {11.7M|before params} and {1.81 GMACs|before macs}.
ImageNet top-1 rises from {69.76 %|-} to {73.31 %|-}, top-5 by {2.3|-} points, after {90|-} epochs with {256|-} images a batch.

| stage | blocks before | blocks after |
|---|--:|--:|
| layer1 | {2|before children layer1} | {3|after children layer1} |
| layer2 | {2|before children layer2} | {4|after children layer2} |
| layer3 | {2|before children layer3} | {6|after children layer3} |
| layer4 | {2|before children layer4} | {3|after children layer4} |

| | ResNet-18 (before) | ResNet-34 (after) |
|---|--:|--:|
| Params (M) | {11.69|before params} | {21.80|after params} |
| layer4 params (M) | {8.39|before params layer4} | {13.11|after params layer4} |
| Acc@1 | {69.758|-} | {73.314|-} |
| Acc@5 | {89.078|-} | {91.420|-} |
| images/s | {2048|-} | {1024|-} |
| learning rate | {0.1|-} | {0.1|-} |

The head stays: `fc` has {513,000|after params fc/before params fc} parameters,
{512|after setting:in_features fc/before setting:in_features fc}
input features and {1000|after setting:out_features fc/before setting:out_features fc} outputs. We saw {2|-} crashes in {64|-} runs.
Stage `layer3` grows {3.2x|before params layer3 : ratio}, from {2.1M|before params layer3} to {6.82M|after params layer3}.
""",
    ),
    "mobile": _read(
        "mobilenet_v2",
        "mobilenet_v3_small",
        """
We replace MobileNetV2 by MobileNetV3-Small in the app (issue {312|-}).

Old: {3.5M params|before params}, {0.3 GMACs|before macs}. New: {2.54M params|after params}, {56.5 MMACs|after macs}, so
{81 %|after macs : percent} fewer MACs and {27 %|after params : percent}
fewer parameters. The download shrinks to {10.2 MB|after param_bytes}.

On a phone of {2021|-}, with {4|-} threads, it takes {6.1 ms|-} instead of {20 ms|-}; {95 %|-} of users have at least {3 GB|-} of memory.
{1|-} in {16|-} users saw a crash; it was fixed within {24|-} hours by {2|-} people. Accuracy falls by {4.2 %|-}, to {67.7 %|-}.
The old `classifier` had {1,281,000|before params classifier} parameters,
the dropout is {0.2|before setting:p classifier*/after setting:p classifier*} still.
""",
    ),
    "vit": _read(
        "vit_b_16",
        "vit_b_32",
        """
# ViT-B/32 instead of ViT-B/16

> We double the patch size. Same width ({768|before setting:* */after setting:* *}),
> same depth ({12|before children encoder.layers/after children encoder.layers}
> layers with {12|before setting:num_heads */after setting:num_heads *} heads each).

* Compute: {17.56 GMACs|before macs} → {4.41 GMACs|after macs}, i.e. {4.0x|after macs : ratio} fewer
* Size: {86.6M|before params} → {88.2M|after params} parameters ({346 MB|before param_bytes} → {353 MB|after param_bytes})
* `conv_proj` grows from {590,592|before params conv_proj} to {2,360,064|after params conv_proj} weights,
  {4x|before params conv_proj : ratio} more
* `heads`: {769,000|after params heads/before params heads} parameters as before
* Accuracy: {81.07 %|-} → {75.91 %|-}; {5.2|-} points worse
* Trained for {300|-} epochs on {64|-} TPUs, {4096|-} images a batch, weight decay {0.3|-}, dropout {0.1|-}
* Inference: {8.4 ms|-} → {2.9 ms|-} on an A100, so {2.9x|-} faster, at {97 %|-} utilisation
* Reviewed by {2|-} people in {5|-} days; see the {3|-} notebooks
""",
    ),
    "large": _read(
        "mobilenet_v3_large",
        "mobilenet_v3_small",
        """
## What we gain

The small variant needs {56.5M MACs|after macs}
where the large one needed {217M MACs|before macs}: a reduction of {74 %|after macs : percent}.
Its `classifier` shrinks by {40 %|after params classifier : percent} ({2.6M params|before params classifier} before,
{1.6M|after params classifier} after), the
whole network from {5.48M|before params} to {2.54M|after params}, which is {2.94M|after params : difference} fewer parameters.

In our tests on {3|-} phones it ran {2.5x|-} faster and used {40 %|-} less battery, at an accuracy of {67.7 %|-} (was {74.0 %|-}).
Of {1,000|-} photos, {12|-} changed their label; {5|-} of them for the better. Startup takes {120 ms|-} instead of {150 ms|-}.

| model | params | MACs (M) | file (MB) | top-1 | fps |
|---|---|---|---|---|---|
| large (before) | {5.48M|before params} | {216.6|before macs} | {21.9|before param_bytes} | {74.0|-} | {61|-} |
| small (after) | {2.54M|after params} | {56.5|after macs} | {10.2|after param_bytes} | {67.7|-} | {148|-} |
""",
    ),
}
