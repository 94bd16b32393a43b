"""The kernel compiled by numba, without the interpreter's lock and kept in numba's disk cache. Import it when needed.

The kernel's source runs a second time in this module, and every function of it is compiled here: the plain one stays
plain, and a cached one finds its module again by this module's name. All are compiled with the same options, because
the cache does not look at them.

Without numba's runtime (``_nrt``) no function counts references to the arrays that it is given, which took two thirds
of a run's time; the caller holds them all, and the kernel makes none.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba

from tui_trader.research import kernel

if TYPE_CHECKING:
    simulate: Callable[..., int]

_NAMESPACE: dict[str, Any] = globals()

exec(compile(Path(kernel.__file__).read_text(encoding="utf-8"), kernel.__file__, "exec"), _NAMESPACE)
for _function in _NAMESPACE["FUNCTIONS"]:
    _NAMESPACE[_function.__name__] = numba.njit(cache=True, nogil=True, _nrt=False)(_function)
