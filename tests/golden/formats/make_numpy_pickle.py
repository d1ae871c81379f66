"""Pickled objects of NumPy arrays, as people save statistics. Run here: python3 make_numpy_pickle.py (NumPy 1.24)."""
import os
import pickle

import numpy as np


class Foreign:
    def __init__(self):
        self.inside = np.ones(3)


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/uvic_was_here",)


mu, sigma = np.arange(3.0), np.diag([1.0, 2.0, 3.0])
features = np.arange(12, dtype=np.float32).reshape(4, 3)
statistics = {"mu": mu, "sigma": sigma, "count": 7, "extractor": "inception", "foreign": Foreign()}
np.save("statistics_object.npy", statistics)
np.save("features_object.npy", {"features": np.asfortranarray(features), "labels": np.arange(4)})
np.save("list_object.npy", np.array([features, mu], dtype=object))
np.save("evil_object.npy", {"mu": mu, "sigma": Evil()})
np.savez("object.npz", stats=statistics)
nested = {"fid": {"mu": mu, "sigma": sigma.astype(">f8")}, "fd_dinov2": {"mu": mu + 1, "sigma": sigma + 1.0}}
for protocol in (2, 4, 5):
    with open(f"nested{protocol}.pkl", "wb") as file:
        pickle.dump(nested, file, protocol)
