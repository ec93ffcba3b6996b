"""How the loops of TVM's kernels are arranged for a processor, by rules alone: equal kernels give equal code.

TVM's own lowering leaves a sum as the innermost loop, which no processor computes with vectors without changing the
order of the additions. Here the innermost loop runs along the output, and a few outputs are summed side by side in
registers. Each output still adds its terms in the same order.
"""

from __future__ import annotations

from typing import Any

_WIDE = range(16, 3, -1)
"""How many neighbouring outputs are summed at once: two vectors of 8 floats fill the pipelines of most processors."""
_HIGH = range(4, 1, -1)
"""How many rows of outputs lie beside each other; they share what was loaded."""


def arrange(module: Any) -> Any:
    """The module with every kernel that sums arranged; a kernel that these rules do not fit stays as it was."""
    import tvm
    from tvm import tirx

    found = tvm.IRModule(module.functions, attrs=module.attrs)
    for name, function in sorted(module.functions.items(), key=lambda item: str(item[0].name_hint)):
        if isinstance(function, tirx.PrimFunc):
            found[name] = _kernel(function)
    return found


def _kernel(function: Any) -> Any:
    import tvm
    from tvm.s_tir import Schedule
    from tvm.s_tir.schedule import ScheduleError

    schedule = Schedule(tvm.IRModule({"main": function}))
    try:
        for block in schedule.get_child_blocks(schedule.get_sblock("root")):
            _sum(schedule, block)
    except ScheduleError:
        return function
    return schedule.mod["main"].with_attrs(dict(function.attrs or {}))


def _sum(schedule: Any, block: Any) -> None:
    """Arranges one block, where it sums."""
    stmt, loops = schedule.get(block), schedule.get_loops(block)
    kinds = [int(var.iter_type) for var in stmt.iter_vars]
    data, reduced = 0, 2  # IterVar.DataPar and CommReduce
    if stmt.init is None or len(kinds) != len(loops) or set(kinds) - {data, reduced}:
        return
    extents = [int(schedule.get(loop).extent) for loop in loops]
    spatial = [at for at, kind in enumerate(kinds) if kind == data]
    sums = [loops[at] for at, kind in enumerate(kinds) if kind == reduced]
    inner = next((at for at in reversed(spatial) if extents[at] >= _WIDE[-1]), None)
    if inner is None or not sums:
        return
    others = [at for at in reversed(spatial) if at != inner and extents[at] >= _HIGH[-1]]
    # Best are rows that read what the innermost loop reads at the same place: it is loaded once for all of them.
    beside = _together(stmt, stmt.iter_vars[inner].var)
    before = min(others, key=lambda at: any(stmt.iter_vars[at].var.same_as(var) for var in beside), default=None)
    outer = [loops[at] for at in spatial if at not in (inner, before)]
    wide_outer, wide = _split(schedule, loops[inner], extents[inner], _WIDE)
    high_outer, high = (None, None) if before is None else _split(schedule, loops[before], extents[before], _HIGH)
    order = [*outer, *([high_outer] if high_outer is not None else []), wide_outer, *sums]
    schedule.reorder(*order, *([high] if high is not None else []), wide)
    if high is not None:
        schedule.unroll(high)
    schedule.vectorize(wide)
    schedule.decompose_reduction(block, sums[0])


def _together(stmt: Any, var: Any) -> list[Any]:
    """The variables that choose, together with this one, what is read."""
    import tvm_ffi
    from tvm.ir import Var

    found: list[Any] = []
    for read in stmt.reads:
        used: list[Any] = []
        for part in read.region:
            tvm_ffi.structural_walk(part.min, (Var, used.append), order="post")
        if any(item.same_as(var) for item in used):
            found += used
    return found


def _split(schedule: Any, loop: Any, extent: int, sizes: range) -> tuple[Any, Any]:
    """A loop as an outer one and one of the largest size that divides it; where none does, the last is not filled."""
    size = next((size for size in sizes if extent % size == 0), min(sizes.start // 2, extent))
    outer, inner = schedule.split(loop, [None, size])
    return outer, inner
