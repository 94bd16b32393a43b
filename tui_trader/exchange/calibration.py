"""How the simulated books and trades look: numbers measured on recorded Binance books.

Measured by ``python -m tests.benchmarks.calibrate_market FOLDER`` on BTCUSDT and ETHUSDT, 18 and 19 July 2024 (480 s of
raw frames each). The command prints the two measured columns beside what a simulated run gives.

Sizes are stated in *minutes of mean traded volume*: the notional divided by the symbol's mean notional traded per
minute. In that unit the two recorded books agree within a few per cent from 2 bps outwards although one trades twice as
much as the other, which is what allows to scale them to the other symbols by their traded volume.
"""

DEPTH_BPS: tuple[float, ...] = (0.1, 1.0, 2.0, 5.0, 10.0, 20.0, 25.0, 50.0)
"""Distance from the best price, basis points."""
DEPTH_MINUTES: tuple[float, ...] = (0.158, 0.229, 0.490, 1.610, 3.700, 7.310, 8.900, 14.100)
"""Median notional resting within that distance, both sides together, minutes of mean traded volume.

Measured BTC: 0.199 0.263 0.545 1.687 3.843 7.224 8.653 14.285; ETH: 0.116 0.194 0.435 1.532 3.562 7.401 9.155 13.936.
Beyond 25 bps the recordings show only levels that changed while they ran, so the last figure is a lower bound.
"""

TOUCH_LOG_SIGMA = 1.3
"""Standard deviation of the log quantity at the best price, sampled each 500 ms (BTC 1.33, ETH 1.29)."""
LEVEL_LOG_SIGMA = 0.8
"""Standard deviation of the log quantity of a deeper level; such a level stands for several recorded ones."""
NEAR_OCCUPANCY = 0.47
"""Share of the ten ticks nearest to the touch that carry a level, on a tick under 0.3 bps (BTC 0.47, ETH 0.48)."""

WIDE_SPREAD_SHARE = 0.0015
"""Share of time in which the spread is more than one tick (BTC 0.0014, ETH 0.0015)."""
MOVE_PROBABILITY = 0.16
"""Chance that the best bid differs from 500 ms ago (BTC 0.14, ETH 0.17), in a minute of mean volume."""

TAKER_LOG_SIGMA = 1.6
"""Standard deviation of the log notional of a taker.

Recorded: 2.07 (BTC) and 2.37 (ETH) over all executions of one side within a millisecond. The simulated minute has fewer
and larger trades, so the smallest sizes, which carry almost no volume, are left out.
"""
SAME_SIDE_PROBABILITY = 0.89
"""Chance that a trade has the side of the one before (BTC 0.88, ETH 0.91)."""
TAKERS_PER_MINUTE = 80
"""Takers in a minute that trades one million USDT; recorded: 450 (BTC) and 429 (ETH) a minute."""
TAKERS_EXPONENT = 0.3
"""Growth of the number of takers with the traded notional; keeps quiet symbols alive and busy ones affordable."""
TAKERS_BOUNDS = (20, 200)
"""Fewest and most takers in a minute."""

REACH_BPS = 70.0
"""How far the simulated book reaches on each side, basis points."""
