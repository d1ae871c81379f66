"""Seeds of the fuzz targets that read several files, or forms that no golden file has. Run here: python3 make_corpus.py

tests/fuzz/folder_input.h describes the form of a folder. Each goes to corpus/TARGET/seed-NAME; the other files there are
inputs that libFuzzer found (docs/fuzzing.md).
"""
import gzip
import json
import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"


def write(target, name, content):
    path = HERE / "corpus" / target / f"seed-{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def folder(files):
    """The files of a folder as one input; texts or bytes by their names."""
    parts = []
    for name, content in files.items():
        content = content if isinstance(content, bytes) else content.encode()
        parts.append(f"%%FILE {name}\n".encode() + content + (b"" if content.endswith(b"\n") else b"\n"))
    return b"".join(parts)


def npy(descr, shape):
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({', '.join(map(str, shape))},), }}\n"


def tensors(shapes, metadata=None, dtype="F32"):
    header, at = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, shape in shapes.items():
        size = 4 if dtype == "F32" else 2
        for n in shape:
            size *= n
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return json.dumps(header, separators=(",", ":")) + "\n"


def golden_tensors(path, prefix=""):
    data = (GOLDEN / path).read_bytes()
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__")
    return {name[len(prefix):]: info["shape"] for name, info in header.items() if name.startswith(prefix)}, metadata


def run_folders():
    shapes, metadata = golden_tensors("runs/uvic/weights/000000048.safetensors")
    config = "\n".join(["data = 'procedural'", "total_images = 48", "batch_size = 16", "label_dropout = 0.1", "[model]",
                        "img_size = 8", "patch_size = 4", "embed_dim = 8", "depth = 2", "num_heads = 2", "num_classes = 11",
                        "attention = 'cog'", "[dataset]", "image_size = 0"])
    own = {"uvic.kind": "uvic weights", "uvic.run_id": "00112233aabbccdd", "uvic.lineage": "aa@0 bb@32", "uvic.step": "3",
           "uvic.images_seen": "48", "uvic.class_names": json.dumps(["circle", "square"]), "uvic.config": config}
    state = dict(own, **{"uvic.kind": "uvic training state", "uvic.elapsed_sec": "0.02", "uvic.loss": "1",
                         "uvic.lowest_loss": "0.9", "uvic.loss_is_sane": "true"})
    record = {"run_id": "00112233aabbccdd", "name": "a", "total_images": 48, "parameters": 3740, "device": "cpu",
              "data": {"class_names": ["circle", "square"], "describe": "procedural", "fingerprint": "procedural v2"},
              "launches": [{"id": "aa", "time": "2026-11-26T20:31:14Z", "host": "h", "from": 0, "to": 32},
                           {"id": "bb", "from": 32, "to": 48}]}
    stats = "".join(json.dumps(line) + "\n" for line in (
        {"images_seen": 16, "loss": 1.02, "elapsed_sec": 0.1, "lr": 0.001, "images_per_sec": 966.0, "grad_norm": 0.1},
        {"images_seen": 32, "attention_entropy/0": 0.5, "attention_entropy/1": 0.4, "loss": 1},
        {"images_seen": 48, "distance": 12.5, "distance_std": 0.5, "distance_name": "FD (embedded)"},
        {"images_seen": 48, "loss": 0.99, "elapsed_sec": 0.3, "run_id": "00112233aabbccdd", "memory_mib": 173.2}))
    log = "procedural: 3740 parameters\n   48 of 48 images  loss 0.99\nfinished at 48 images\n"
    write("run_folder", "whole", folder({
        "config.toml": config, "run.json": json.dumps(record), "stats.jsonl": stats, "log.txt": log,
        "weights/000000048.safetensors": tensors(shapes, own), "state.safetensors": tensors({"w": [2]}, state),
        "grids/000000048.png": (GOLDEN / "runs/samples-uvic/000000.png").read_bytes()}))
    write("run_folder", "no_config", folder({
        "stats.jsonl": stats, "weights/000000032.safetensors": tensors({}, own),
        "weights/000000048.safetensors": tensors(shapes, own),
        "state-000000032.safetensors": tensors({"w": [2]}, dict(state, **{"uvic.images_seen": "32"}))}))
    write("run_folder", "text", folder({
        "config.toml": "task = 'sequence'\ndata = 'ut'\n[model]\nkind = 'small'\n", "run.json": json.dumps(record),
        "stats.jsonl": stats, "log.txt": log, "grids/000000048.txt": "a text\n"}))
    data = (GOLDEN / "runs/uvic/state.safetensors").read_bytes()
    size, = struct.unpack_from("<Q", data)
    write("run_folder", "state", folder({"config.toml": config, "state.safetensors": data[8:8 + size].strip()}))
    write("weights_file", "named", folder({"a.safetensors": tensors(shapes, own)}))
    write("weights_file", "config", folder({"a.safetensors": tensors(shapes), "a.toml": config}))
    write("weights_file", "shards", folder({
        "a.safetensors.index.json": json.dumps({"metadata": {"total_size": 16},
                                                "weight_map": {"x": "b-1.safetensors", "y": "b-2.safetensors"}}),
        "b-1.safetensors": tensors({"x": [2]}), "b-2.safetensors": tensors({"y": [1, 2]})}))
    write("weights_file", "ema", folder({"a.safetensors": tensors(
        {f"{prefix}{name}": shape for prefix in ("model.", "ema_model.") for name, shape in list(shapes.items())[:6]})}))
    official = {name: shape for name, shape in shapes.items()}
    write("weights_file", "official", folder({"nnet_ema.safetensors": tensors(official)}))


def captions():
    write("captions", "jsonl", folder({"metadata.jsonl": '{"file_name":"a.jpg","text":"a cat"}\n'
                                       '{"file_name":"./b.c.png","captions":["two","three",""]}\n'}))
    write("captions", "csv", folder({"metadata.csv": 'file_name,text\na.jpg,"a ""cat"", sitting"\nb.c.png,x\r\n'}))
    write("captions", "beside", folder({"a.txt": "one\ntwo\n", "b.json": '{"caption":"b","text":["c"]}', "c.txt": "stray"}))
    coco = {"images": [{"id": 2, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.c.png"}],
            "annotations": [{"image_id": 1, "caption": "one", "id": 5}, {"image_id": 2, "caption": "two"}]}
    write("captions", "coco", folder({"captions_val.json": json.dumps(coco)}))
    write("caption_list", "coco", json.dumps(coco))
    write("caption_list", "list", json.dumps(["a cat", "", "\u00e9"]))
    write("caption_list", "lines", "\ufeffa cat\r\n\ntwo\r[three]\n")
    write("csv", "quotes", 'a,b\r\n"x, ""y""\nz",2\r3,\n')
    write("text_repair", "mojibake", "caf\u00c3\u00a9 &amp; &eacute &#x41; \ufb01 \u201cq\u201d <b>\n\uff21\u0085\x1b[1m e\u0301\u03a3")
    write("text_repair", "plain", "a cat\n")
    write("gzip", "text", gzip.compress(b"a text, a text\n", mtime=0))
    write("gzip", "two", gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=0))
    write("gzip", "raw", zlib.compress(b"deflated, deflated, deflated")[2:-4])


def latents():
    index = {"format": "uvic-latents", "version": 1, "images": 2, "channels": 2, "size": 2, "captions": 0,
             "context_tokens": 0, "context_dim": 0, "moments_dtype": "float32", "context_dtype": "float32",
             "shard_images": 2, "labelled": True, "mirrored": False, "class_names": ["a"], "made_from": {}}
    write("latent_store", "labelled", folder({"index.json": json.dumps(index), "labels.npy": npy("<i8", [2]),
                                              "moments-00000.npy": npy("<f4", [2, 2, 2, 2])}))
    index.update(captions=2, context_tokens=1, context_dim=2, labelled=False, class_names=[], moments_dtype="float16",
                 shard_images=1)
    begins = npy("<i8", [3]).encode() + struct.pack("<3q", 0, 1, 2)
    write("latent_store", "captioned", folder({
        "index.json": json.dumps(index), "labels.npy": npy("<i8", [2]), "caption_begins.npy": begins,
        "captions.txt": "one\ntwo", "empty_context.npy": npy("<f4", [1, 2]), "moments-00000.npy": npy("<f2", [1, 2, 2, 2]),
        "moments-00001.npy": npy("<f2", [1, 2, 2, 2]), "contexts-00000.npy": npy("<f4", [1, 1, 2]),
        "contexts-00001.npy": npy("<f4", [1, 1, 2])}))
    write("latent_store", "coco", folder({"0.npy": npy("<f4", [2, 2, 2]), "0_0.npy": npy("<f4", [1, 2]),
                                          "0_1.npy": npy("<f4", [1, 2]), "1.npy": npy("<f4", [2, 2, 2]),
                                          "1_0.npy": npy("<f4", [1, 2]), "empty_context.npy": npy("<f4", [1, 2])}))
    path = GOLDEN / "app/imagenet_features"
    write("latent_store", "imagenet", folder({"0.npy": (path / "0.npy").read_bytes(), "1.npy": (path / "1.npy").read_bytes()}))


def tokens():
    ids = {"%bytes": 0, "lo": 600, "low</w>": 601, "w</w>": 602}
    vocabulary = json.dumps(ids, separators=(",", ":"))
    write("bpe_vocabulary", "hugging_face", folder({
        "vocab.json": vocabulary, "merges.txt": "#version: 0.2\nl o\nlo w</w>\n", "added_tokens.json": '{"<new>": 700}',
        "special_tokens_map.json": '{"pad_token": {"content": "!"}}'}))
    fast = {"added_tokens": [{"id": 700, "content": "<new>", "normalized": False, "single_word": False}],
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Lowercase"}]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "behavior": "Removed", "invert": True, "pattern": {
                    "Regex": "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"}},
                {"type": "ByteLevel", "add_prefix_space": False}]},
            "model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": ids, "merges": ["l o", ["lo", "w</w>"]]}}
    write("bpe_vocabulary", "fast", folder({"tokenizer.json": json.dumps(fast, separators=(",", ":"))}))
    merges = "\"bpe_simple_vocab_16e6.txt#version: 0.2\nl o\nlo w</w>\ni n\n"
    write("bpe_vocabulary", "openai", folder({"bpe_simple_vocab_16e6.txt.gz": merges}))
    write("token_source", "bin", struct.pack("<16H", *range(16)))
    write("token_source", "npy", npy("<u2", [16]))
    write("token_source", "int64", npy("<i8", [12]))
    write("token_source", "text", "twelve letters, and more\n")


def archives():
    entries = [("a.jpg", 512, 100, 1), ("b/", 1536, 0, 0), ("b/c.png", 2048, 8192, 1)]
    index = b"".join(struct.pack("<I", len(name)) + name.encode() + struct.pack("<QQB", *rest) for name, *rest in entries)
    magic = (GOLDEN.parent.parent / "data/formats/tar_index.cpp").read_text()
    magic = magic[magic.index("kIndexMagic"):].split('"')[1].encode().decode("unicode_escape").encode("latin-1")
    content = magic + struct.pack("<QqIQBQ", 10240, 1700000000, 0x12345678, 10240, 1, len(entries)) + index
    write("tar_index", "listing", content + struct.pack("<I", zlib.crc32(content)))
    png = (GOLDEN / "runs/samples-uvic/000000.png").read_bytes()
    write("image_set", "classes", folder({"cat/1.png": png, "dog/2.png": png, "dog/notes.txt": "x"}))
    write("image_set", "edm", folder({"a/0.png": png, "a/1.png": png, "dataset.json": json.dumps(
        {"labels": [["a/0.png", 1], ["a/1.png", 0]], "class_names": ["x", "y"]})}))
    write("image_set", "cls", folder({"0.png": png, "0.cls": "1", "1.png": png, "1.cls": "0", "classnames.txt": "x\ny\n"}))
    names = "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n"
    write("image_set", "imagenet", folder({
        "LOC_synset_mapping.txt": names, "train/n01440764/a.png": png, "train/n01443537/b.png": png, "val/v_1.png": png,
        "LOC_val_solution.csv": "ImageId,PredictionString\nv_1,n01443537 85 1 499 272\n"}))
    write("image_set", "flat", folder({"0.png": png, "1.bmp": (GOLDEN / "formats/rgb.bmp").read_bytes()}))


def encoders():
    res = {"norm1": [8], "norm2": [8]}
    layers = {}
    for half in ("encoder", "decoder"):
        layers[f"{half}.conv_in.weight"] = [8, 3, 3, 3] if half == "encoder" else [8, 2, 3, 3]
        layers[f"{half}.conv_out.weight"] = [4, 8, 3, 3] if half == "encoder" else [3, 8, 3, 3]
        layers[f"{half}.norm_out.weight"] = [8]
        level = f"{half}.{'down' if half == 'encoder' else 'up'}.0.block."
        for block in [f"{level}{i}" for i in range(1 if half == "encoder" else 2)] + [f"{half}.mid.block_1", f"{half}.mid.block_2"]:
            for name, shape in dict(res, conv1=[8, 8, 3, 3], conv2=[8, 8, 3, 3]).items():
                layers[f"{block}.{name}.weight"] = shape
    layers.update({"quant_conv.weight": [4, 4, 1, 1], "post_quant_conv.weight": [2, 2, 1, 1]})
    for name, shape in list(layers.items()):
        layers[name[:-6] + "bias"] = shape[:1]
    write("autoencoder", "official", folder({
        "a.safetensors": tensors(layers, dtype="F16"),
        "config.json": '{"_class_name": "AutoencoderKL", "scaling_factor": 0.5, "shift_factor": 0.1, "norm_num_groups": 4, "latent_channels": 2}'}))
    clip = {"embeddings.token_embedding.weight": [6, 8], "embeddings.position_embedding.weight": [4, 8],
            "final_layer_norm.weight": [8], "final_layer_norm.bias": [8]}
    for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"):
        clip[f"encoder.layers.0.{name}.weight"], clip[f"encoder.layers.0.{name}.bias"] = [8, 8], [8]
    for name in ("layer_norm1", "layer_norm2"):
        clip[f"encoder.layers.0.{name}.weight"], clip[f"encoder.layers.0.{name}.bias"] = [8], [8]
    clip.update({"encoder.layers.0.mlp.fc1.weight": [16, 8], "encoder.layers.0.mlp.fc1.bias": [16],
                 "encoder.layers.0.mlp.fc2.weight": [8, 16], "encoder.layers.0.mlp.fc2.bias": [8]})
    write("autoencoder", "clip", folder({
        "model.safetensors": tensors({f"text_model.{name}": shape for name, shape in clip.items()}),
        "config.json": '{"num_attention_heads": 2, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-05}'}))


def samples():
    sample = {"seed": 3, "class": 1, "class_name": "cat", "precision": "fp32", "device": "cpu", "images_seen": 48,
              "guidance_scale": 1.5, "sampler_options": {"sampler": "unipc", "steps": 5, "eta": 0.0, "order": 2},
              "checkpoint_sha256": "00", "version": "0.2.0", "run_id": "00112233aabbccdd"}
    write("sample_text", "seed", json.dumps(sample))
    frame = dict(sample, frame=2, interpolate="1,2", interpolate_frames=4, prompt="a cat", null_class=True,
                 init_fingerprint="x", strength=0.5, repeats=2)
    write("sample_text", "frame", json.dumps(frame))
    record = {"precision": "fp32", "checkpoint_sha256": "00", "seeds": "0-1,7", "missing": "3", "grid": True, "seconds": 1.5,
              "images_per_sec": 2.0, "finished": True, "sampler_options": {"steps": 5}}
    png = (GOLDEN / "runs/samples-uvic/000000.png").read_bytes()
    write("samples_folder", "same", folder({"samples.json": json.dumps(record), "000000.png": png, "000003.png": png,
                                            "000001_trajectory.png": png, "012/012345.png": png, "grid.png": png}))
    config = "data = 'procedural'\n[model]\nnum_classes = 11\n"
    stats = json.dumps({"images_seen": 16, "loss": 1.0, "images_per_sec": 3, "elapsed_sec": 1, "attention_entropy/0": 1}) + "\n"
    stats += json.dumps({"images_seen": 16, "distance": 2.5, "distance_std": 0.5, "distance_name": "FD (embedded)"}) + "\n"
    run = {"run_id": "0", "parameters": 3740, "forward_gflop_per_image": 0.1, "device": "cpu",
           "data": {"describe": "procedural", "class_names": ["a", "b"], "fingerprint": "x"}}
    shown = dict(record, classes=[0, 1], class_names=["a", "b"], nfe=5, guidance_scale=1.5, checkpoint_sha256="0")
    write("report", "classes", folder({"config.toml": config, "run.json": json.dumps(run), "stats.jsonl": stats,
                                       "samples.json": json.dumps(shown), "000000.png": png, "000001.png": png,
                                       "grids/000000016.png": png, "000000_trajectory.png": png}))
    write("report", "prompts", folder({"config.toml": config, "samples.json": json.dumps(dict(record, prompts=["a", "b"])),
                                       "000000.png": png}))
    write("samples_folder", "other", folder({"samples.json": json.dumps(dict(record, precision="bf16")), "000000.png": "x",
                                             "score.json": '{"made_from": {"a": 1}, "value": 3}'}))
    write("sample_ask", "all", json.dumps({"run": "1", "checkpoint": 48, "label": "cat", "prompt": "", "seed": 1, "images": 2,
                                           "steps": 5, "sampler": "ddim", "guidance": 1.5}))


run_folders()
captions()
latents()
tokens()
archives()
encoders()
samples()
