"""The learning rate over time."""


def inverse_square_root(step: int, *, d_model: int, warmup_steps: int, scale: float) -> float:
    """Learning rate at optimiser step ``step``, counted from 1.

    Linear growth for ``warmup_steps`` steps, then decay with the square root of the step::

        scale * d_model^-0.5 * min(step^-0.5, step * warmup_steps^-1.5)

    Source: Vaswani et al., "Attention is all you need" (2017), equation 3, with a factor
    ``scale`` in front as in the Annotated Transformer; it peaks at
    ``scale * (d_model * warmup_steps)^-0.5``.
    """
    return scale * d_model**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)
