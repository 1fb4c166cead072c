import h5py
import numpy as np

landmarks = np.full((2, 68, 2), 225.0)  # your predictions; NaN for a face that was not found

with h5py.File("predictions.h5", "w") as file:
    file.attrs["format"] = "facebench-predictions"
    file.attrs["version"] = 1
    file.attrs["dataset"] = "aflw2000"
    file.attrs["method"] = "My method"
    file.attrs["scheme"] = "ibug68"
    file.attrs["box"] = "landmarks"
    file["id"] = ["image00002", "image00004"]
    file["landmarks"] = landmarks
