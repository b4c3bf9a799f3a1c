"""The amount of memory that objects take."""

import gc
import sys
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

_CODE = (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType)
_ALIGNMENT = 16  # Python allocates memory in multiples of this number of bytes


def size_of(*objects: object, apart_from: tuple[type, ...] = ()) -> int:
    """Return the size in bytes of objects and of everything that they refer to, each counted once.

    Code is not counted. Instances of `apart_from`, and objects that only these instances refer to, are not
    counted either. For a hundred objects, this takes some hundredths of a millisecond.
    """
    left_out = _CODE + apart_from
    size = 0
    seen: set[int] = set()
    found = list(objects)
    while found:
        one = found.pop()
        if id(one) in seen or isinstance(one, left_out):
            continue
        seen.add(id(one))
        size += -(-sys.getsizeof(one) // _ALIGNMENT) * _ALIGNMENT
        found += gc.get_referents(one)
        if isinstance(one, dict):
            found += one  # if all keys are texts, gc does not list them
    return size
