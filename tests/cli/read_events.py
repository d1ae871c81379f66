#!/usr/bin/env python3
"""Reads event files as TensorBoard does, from TFRecord and the field numbers of its .proto files, and
prints {"scalars": {tag: [[step, value], ...]}, "images": {...: [[step, width, height, bytes], ...]},
"texts": {tag: [[step, text], ...]}, "hparams": {name: value}, "torn": files whose last record is cut}.
Events that a later session start supersedes are dropped, as TensorBoard drops them. No library but
Python's own.

    python3 tests/cli/read_events.py FOLDER
"""
import json
import pathlib
import struct
import sys


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def table():
    entries = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        entries.append(i)
    return entries


TABLE = table()


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    at = 0
    while at < len(data):
        if len(data) - at < 12:
            yield None
            return
        size, check = struct.unpack_from("<QI", data, at)
        assert check == masked(data[at : at + 8]), "checksum of a length"
        if len(data) - at - 16 < size:
            yield None
            return
        payload = data[at + 12 : at + 12 + size]
        assert struct.unpack_from("<I", data, at + 12 + size)[0] == masked(payload), "checksum"
        yield payload
        at += 16 + size


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
        shift += 7


def fields(data):
    """{number: [values]}"""
    result, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        elif kind == 5:
            value, at = struct.unpack_from("<f", data, at)[0], at + 4
        else:
            assert kind == 2, kind
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        result.setdefault(key >> 3, []).append(value)
    return result


def hparams(content):
    values = {}
    for entry in fields(fields(content)[3][0]).get(1, []):
        entry = fields(entry)
        kind, value = next(iter(fields(entry[2][0]).items()))
        values[entry[1][0].decode()] = {2: float, 3: bytes.decode, 4: bool}[kind](value[0])
    return values


def main():
    events, torn = [], []  # (step, kind, tag, value)
    hyper = {}
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*tfevents*")):
        for number, payload in enumerate(records(path.read_bytes())):
            if payload is None:
                torn.append(path.name)
                break
            event = fields(payload)
            step = event.get(2, [0])[0]
            if number == 0:
                assert event[3] == [b"brain.Event:2"]
            if 7 in event and fields(event[7][0])[1] == [1]:
                events = [each for each in events if each[0] < step]
            for summary in event.get(5, []):
                for value in map(fields, fields(summary).get(1, [])):
                    tag = value[1][0].decode()
                    if 2 in value:
                        events.append((step, "scalars", tag, value[2][0]))
                    elif 4 in value:
                        image = fields(value[4][0])
                        png = image[4][0]
                        assert png[:8] == b"\x89PNG\r\n\x1a\n" and image[3] == [3]
                        assert struct.unpack(">II", png[16:24]) == (image[2][0], image[1][0])
                        events.append((step, "images", tag, [image[2][0], image[1][0], len(png)]))
                    elif 8 in value:
                        tensor = fields(value[8][0])
                        plugin = fields(fields(value[9][0])[1][0])
                        assert tensor[1] == [7] and plugin[1] == [b"text"]
                        events.append((step, "texts", tag, tensor[8][0].decode()))
                    else:
                        plugin = fields(fields(value[9][0])[1][0])
                        assert plugin[1] == [b"hparams"]
                        hyper = hparams(plugin[2][0])
    result = {"scalars": {}, "images": {}, "texts": {}, "hparams": hyper, "torn": torn}
    for step, kind, tag, value in events:
        result[kind].setdefault(tag, []).append([step] + (value if isinstance(value, list) else [value]))
    json.dump(result, sys.stdout)


main()
