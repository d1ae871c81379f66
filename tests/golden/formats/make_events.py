#!/usr/bin/env python3
"""Makes tensorboard.events: records of TensorBoard's event files, serialised by Google's protobuf from the
field numbers of TensorBoard's .proto files. Debian: python3-protobuf protobuf-compiler.

    python3 tests/golden/formats/make_events.py tests/golden/formats/tensorboard.events
"""
import importlib
import pathlib
import struct
import subprocess
import sys
import tempfile

PROTO = """
syntax = "proto3";
package uvic_test;
import "google/protobuf/struct.proto";
message Event { double wall_time = 1; int64 step = 2;
  oneof what { string file_version = 3; Summary summary = 5; SessionLog session_log = 7; } }
message SessionLog { enum Status { UNSPECIFIED = 0; START = 1; } Status status = 1; }
message Summary {
  message Image { int32 height = 1; int32 width = 2; int32 colorspace = 3; bytes encoded_image_string = 4; }
  message Value { string tag = 1;
    oneof value { float simple_value = 2; Image image = 4; Tensor tensor = 8; }
    Metadata metadata = 9; }
  repeated Value value = 1; }
message Metadata { message PluginData { string plugin_name = 1; bytes content = 2; }
  PluginData plugin_data = 1; }
message Shape { message Dim { int64 size = 1; } repeated Dim dim = 2; }
message Tensor { int32 dtype = 1; Shape tensor_shape = 2; repeated bytes string_val = 8; }
message HParams { int32 version = 1; Start session_start_info = 3; }
message Start { map<string, google.protobuf.Value> hparams = 1; double start_time_secs = 5; }
"""


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(message):
    payload = message.SerializeToString(deterministic=True)
    size = struct.pack("<Q", len(payload))
    return size + masked(size) + payload + masked(payload)


def main():
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "events.proto").write_text(PROTO)
        subprocess.run(["protoc", "-I", folder, "-I", "/usr/include", f"--python_out={folder}", "events.proto"],
                       check=True)
        sys.path.insert(0, folder)
        pb = importlib.import_module("events_pb2")
    time, step = 1700000000.25, 300
    version = pb.Event(wall_time=time, file_version="brain.Event:2")
    start = pb.Event(wall_time=time, step=step)
    start.session_log.status = 1
    scalars = pb.Event(wall_time=time, step=step)
    for tag, value in (("loss", 0.125), ("lr", 2e-4)):
        scalars.summary.value.add(tag=tag, simple_value=value)
    image = pb.Event(wall_time=time, step=step)
    value = image.summary.value.add(tag="grid")
    value.image.height, value.image.width, value.image.colorspace = 2, 300, 3
    value.image.encoded_image_string = b"\x89PNG" + bytes(200)
    text = pb.Event(wall_time=time, step=step)
    value = text.summary.value.add(tag="config")
    value.tensor.dtype = 7
    value.tensor.tensor_shape.dim.add(size=1)
    value.tensor.string_val.append(b"batch_size = 8\n")
    value.metadata.plugin_data.plugin_name = "text"
    hyper = pb.Event(wall_time=time, step=step)
    data = pb.HParams()
    data.session_start_info.start_time_secs = time
    data.session_start_info.hparams["attention"].string_value = "cog"
    data.session_start_info.hparams["flip"].bool_value = True
    data.session_start_info.hparams["lr"].number_value = 2e-4
    value = hyper.summary.value.add(tag="_hparams_/session_start_info")
    value.metadata.plugin_data.plugin_name = "hparams"
    value.metadata.plugin_data.content = data.SerializeToString(deterministic=True)
    pathlib.Path(sys.argv[1]).write_bytes(b"".join(map(record, (version, start, scalars, image, text, hyper))))


main()
