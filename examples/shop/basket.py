"""What a basket costs. There is one honest bug in here, for `bundle run` to record."""

import random


def total(prices, discount=0):
    """The sum of the prices, less a discount in percent."""
    return round(sum(prices) * (1 - discount / 100), 2)


def pick_prices(count):
    """Prices that differ from run to run."""
    return [random.randint(1, 100) / 10 for _ in range(count)]
