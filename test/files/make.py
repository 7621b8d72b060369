"""Makes the files beside it, which test/cli.test.ts reads: python make.py

Needs numpy 2, pyarrow 16 or later, safetensors and ml_dtypes. All have the same 24 predictions and targets,
multiples of 1/4 that every type of floats has exactly; those in integers are whole.
"""

import json
import pathlib
import zipfile

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
from safetensors.numpy import save_file

here = pathlib.Path(__file__).parent
rows, columns = 6, 4
i = np.arange(rows * columns)
p = (((i * 7) % 23) / 4 - 2).reshape(rows, columns)
t = (((i * 5) % 19) / 4 - 1).reshape(rows, columns)


def save(name, array, version=(1, 0)):
    with open(here / name, "wb") as file:
        np.lib.format.write_array(file, array, version=version)


for code in ["<f4", ">f4", "<f2", ">f2", "<f8", ">f8"]:
    name = code.replace("<", "le-").replace(">", "be-")
    save(f"p-{name}.npy", p.astype(code))
save("t.npy", t.astype("<f4"))
for code in ["i1", "<i2", ">i2", "<i4", ">i4", "<i8", ">i8", "u1", "<u2", "<u4", "<u8", ">u8"]:
    save(f"p-int-{code.replace('<', 'le-').replace('>', 'be-')}.npy", np.abs(np.trunc(4 * p)).astype(code))
save("p-v2.npy", p.astype("f4"), (2, 0))
save("p-v3.npy", p.astype("f4"), (3, 0))
save("p-fortran.npy", np.asfortranarray(p.astype("f4")))
save("t-fortran.npy", np.asfortranarray(t.astype("f4")))
save("p-fortran-3d.npy", np.asfortranarray(p.astype(">f8").reshape(2, 3, 4)))
save("mask.npy", (i % 3 != 0).reshape(rows, columns))
save("weights.npy", ((i % 5) / 2).astype("f4").reshape(rows, columns))
save("scalar.npy", np.float32(3))
save("empty.npy", np.zeros((0, 4), "f4"))
save("text.npy", np.array(["a"]))
p.astype("<f4").tofile(here / "p.bin")
t.astype(">f8").tofile(here / "t.f8")

np.savez(here / "stored.npz", p=p.astype("f4"), t=t.astype("f8"))
np.savez_compressed(here / "deflated.npz", p=p.astype("f2"), t=np.asfortranarray(t.astype("f4")))
save_file(
    {
        "p": p.astype("f4"),
        "t": t.astype("f2"),
        "p16": p.astype(ml_dtypes.bfloat16),
        "n": i.astype("i8"),
    },
    here / "tensors.safetensors",
    metadata={"made": "by make.py"},
)

# The third prediction and the fifth target are missing.
flat_p = [None if k == 2 else x for k, x in enumerate(p.ravel().tolist())]
flat_t = [None if k == 4 else x for k, x in enumerate(t.ravel().tolist())]
table = pa.table(
    {
        "name": pa.array([f"row {k}" for k in i]).dictionary_encode(),
        "p": pa.array(flat_p, pa.float32()),
        "t": pa.array(flat_t, pa.float64()),
        "n": pa.array(i, pa.int64()),
        "half": pa.array(p.ravel().astype("f2"), pa.float16()),
    }
)
parquet = {"row_group_size": 10}
pa.parquet.write_table(table, here / "snappy.parquet", **parquet)
pa.parquet.write_table(table, here / "zstd.parquet", compression="zstd", data_page_version="2.0", **parquet)
pa.feather.write_feather(table, here / "lz4.feather", compression="lz4", chunksize=10)
pa.feather.write_feather(table, here / "zstd.feather", compression="zstd", chunksize=10)
with pa.OSFile(str(here / "stream.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
    writer.write_table(table, max_chunksize=7)
# More than a block of 64 KB, which LZ4 links to the one before.
long = np.sin(np.arange(20_000) // 50).astype("f4")
pa.feather.write_feather(pa.table({"x": long}), here / "long.feather", compression="lz4")
