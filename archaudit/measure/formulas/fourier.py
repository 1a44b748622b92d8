"""Fourier transforms, counted as mixed-radix transforms.

A transform of length N = p1 * p2 * ... takes N * (p1 + p2 + ...) operations, each "a complex multiplication followed by a complex
addition": Cooley and Tukey, An Algorithm for the Machine Calculation of Complex Fourier Series (1965). That is one multiply-accumulate, as
for complex matrix products. For a power of two it is 2 N log2 N. A transform from or to real numbers computes half of the values, so it
takes half. Libraries use other algorithms for large prime factors (Bluestein, Rader), which this count does not follow.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from archaudit.measure.formulas.registry import Products, count, dense_sizes, formula, result


@formula("aten::_fft_c2c")
def count_complex_fft(inputs: Tensor, axes: Sequence[int], *_: object, **__: object) -> Products:
    """Elements * sum of the prime factors of each transformed size.

    Source: Cooley and Tukey (1965). Leaves out: scaling.
    """
    return _transform(dense_sizes(inputs), axes)


@formula("aten::_fft_r2c")
def count_real_fft(inputs: Tensor, axes: Sequence[int], *_: object, out: Tensor, **__: object) -> Products:
    """Half of the complex transform of the last axis, then complex transforms of the half that is kept.

    Source: Cooley and Tukey (1965); the other half are conjugates. Leaves out: scaling.
    """
    return (*_halve(dense_sizes(inputs), axes[-1]), *_transform(dense_sizes(result(out)), axes[:-1]))


@formula("aten::_fft_c2r")
def count_inverse_real_fft(inputs: Tensor, axes: Sequence[int], *_: object, out: Tensor, **__: object) -> Products:
    """Complex transforms of all axes but the last, then half of the complex transform of the last.

    Source: Cooley and Tukey (1965); the other half are conjugates. Leaves out: scaling.
    """
    return (*_transform(dense_sizes(inputs), axes[:-1]), *_halve(dense_sizes(result(out)), axes[-1]))


def _transform(sizes: tuple[int, ...], axes: Sequence[int]) -> Products:
    factors = [sum(_list_prime_factors(sizes[axis])) for axis in axes]
    return tuple((sizes, factor) for factor in factors if factor)


def _halve(sizes: tuple[int, ...], axis: int) -> Products:
    operations = count(sizes) * sum(_list_prime_factors(sizes[axis])) // 2
    return ((operations,),) if operations else ()


def _list_prime_factors(size: int) -> list[int]:
    factors, divisor = [], 2
    while divisor * divisor <= size:
        while size % divisor == 0:
            factors.append(divisor)
            size //= divisor
        divisor += 1
    return [*factors, size] if size > 1 else factors
