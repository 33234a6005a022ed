"""Content hashes: XXH3, 128 bits for naming content, 64 bits for checks. From the package `xxhash`; where that is not
installed, from the machine's libxxhash. Fails: ImportError, at import, where there is neither.
"""
import ctypes
import ctypes.util

try:
    import xxhash
except ImportError:
    xxhash = None


def _by_package():
    class Sum128:
        """Of bytes that come one part after the other."""

        def __init__(self):
            self.state = xxhash.xxh3_128()

        def update(self, data):
            self.state.update(data)

        def pair(self):
            """(high, low)"""
            return divmod(self.state.intdigest(), 2**64)

    return Sum128, lambda data, seed: xxhash.xxh3_64_intdigest(data, seed)


class _Wide(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def load(soname, name):
    """A library of the machine's; OSError: there is none."""
    try:
        return ctypes.CDLL(soname)
    except OSError:
        return ctypes.CDLL(ctypes.util.find_library(name) or soname)  # which asks the linker, and takes its time


def _by_library():
    try:
        library = load("libxxhash.so.0", "xxhash")
        whole, state, text, size = library.XXH3_64bits_withSeed, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    except (OSError, AttributeError):
        raise ImportError("millrace_sdk needs the package xxhash (pip install xxhash, or Debian's python3-xxhash)") from None
    whole.argtypes, whole.restype = [text, size, ctypes.c_uint64], ctypes.c_uint64
    library.XXH3_createState.restype = state
    for function, arguments, result in ((library.XXH3_freeState, [state], ctypes.c_int),
                                        (library.XXH3_128bits_reset, [state], ctypes.c_int),
                                        (library.XXH3_128bits_update, [state, text, size], ctypes.c_int),
                                        (library.XXH3_128bits_digest, [state], _Wide)):
        function.argtypes, function.restype = arguments, result

    class Sum128:
        """Of bytes that come one part after the other."""

        def __init__(self):
            self.state = library.XXH3_createState()
            library.XXH3_128bits_reset(self.state)

        def __del__(self):
            library.XXH3_freeState(self.state)

        def update(self, data):
            data = bytes(data)
            library.XXH3_128bits_update(self.state, data, len(data))

        def pair(self):
            """(high, low)"""
            sum_ = library.XXH3_128bits_digest(self.state)
            return sum_.high, sum_.low

    return Sum128, lambda data, seed: whole(bytes(data), len(data), seed)


Sum128, hash64 = _by_library() if xxhash is None else _by_package()


def hash128(data):
    """(high, low)"""
    sum_ = Sum128()
    sum_.update(data)
    return sum_.pair()
