"""Arrays of every dtype and order as NumPy writes them. Run here: python3 make_npz.py (NumPy 1.24)."""
import numpy as np

arrays = {"scalar": np.float64(2.5), "empty": np.zeros((0, 3), dtype=np.float32)}
a = np.arange(6).reshape(2, 3)
for dtype in ["uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]:
    arrays["a_" + dtype] = a.astype(dtype)
    arrays["f_" + dtype] = np.asfortranarray(a.astype(dtype))
    arrays["big_" + dtype] = a.astype(np.dtype(dtype).newbyteorder(">"))
arrays["a_bool"] = a.astype(bool)
arrays["a_complex64"] = (1j * a).astype("complex64")
np.savez("stored.npz", **arrays)
np.savez_compressed("deflated.npz", **arrays)
np.savez_compressed("small_deflated.npz", x=a.astype("float32"))
