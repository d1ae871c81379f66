#!/usr/bin/env python3
"""Makes the tokenizers and the ids in tokenizers/.

  npm install @anush008/tokenizers        # Hugging Face's tokenizers library, built for Node
  python3 make_tokenizers.py NODE_FOLDER [COUNT SEED FOLDER]

Needs Debian's python3-regex, python3-sentencepiece and sentencepiece, and the GPL in /usr/share/common-licenses, which the
merges are learned from. gpt2.json and llama3.json have the parts of those tokenizers, with a small vocabulary. Their ids come
from the plain reading below: the pattern by the regex module, then the merge of the lowest rank, again and again. llama2.json
is spm.model, which spm_train made, converted as Hugging Face's converter does it; its ids are those of SentencePiece.
The library must agree with all of them. models.json holds what SentencePiece gives with other models. parts.json holds its ids with other parts around the model of llama2.json. COUNT
texts of another SEED go to FOLDER, for UVIC_TEST_TOKENIZERS, which the test reads.
"""
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import regex
import sentencepiece

HERE = Path(__file__).parent / "tokenizers"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)"
          r"|\s+")


def byte_table():
    symbols, extra = [], 256
    for b in range(256):
        if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255:
            symbols.append(chr(b))
        else:
            symbols.append(chr(extra))
            extra += 1
    return symbols


BYTES = byte_table()


def symbols_of(word):
    return [BYTES[b] for b in word.encode()]


def learn(pattern, text, count):
    words = Counter(tuple(symbols_of(w)) for w in regex.findall(pattern, text))
    merges = []
    for _ in range(count):
        pairs = Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        merged = Counter()
        for word, n in words.items():
            merged[tuple(merge(list(word), best))] += n
        words = merged
    return merges


def merge(word, pair):
    out, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


def encode(tokenizer, pattern, added, text):
    """Of one text without its surroundings."""
    vocabulary = tokenizer["model"]["vocab"]
    ranks = {}
    for rank, pair in enumerate(tokenizer["model"]["merges"]):
        ranks[tuple(pair.split(" ") if isinstance(pair, str) else pair)] = rank
    ids = []
    for part in regex.split("(" + "|".join(regex.escape(t) for t in added) + ")", text):
        if part in added:
            ids.append(added[part])
            continue
        for word in regex.findall(pattern, part):
            symbols = symbols_of(word)
            if tokenizer["model"]["ignore_merges"] and "".join(symbols) in vocabulary:
                ids.append(vocabulary["".join(symbols)])
                continue
            while True:
                found = [(ranks[p], i) for i, p in enumerate(zip(symbols, symbols[1:])) if p in ranks]
                if not found:
                    break
                _, i = min(found)
                symbols[i:i + 2] = [symbols[i] + symbols[i + 1]]
            ids += [vocabulary[s] for s in symbols]
    return ids


def added_token(ident, content, special=True):
    return {"id": ident, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": special}


def byte_level(prefix=False, use_regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": use_regex}


def template(name, ident):
    return {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": name, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {name: {"id": name, "ids": [ident], "tokens": [name]}}}


def tokenizer(model, added, **parts):
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
             "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": model}
    whole.update(parts)
    return whole


def bpe(vocabulary, merges, **more):
    return {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocabulary, "merges": merges, **more}


def make_byte_level(text):
    """The two byte-level tokenizers, and the pattern and added tokens of each."""
    made = {}
    for name, pattern in (("gpt2", GPT2), ("llama3", LLAMA3)):
        merges = learn(pattern, text, 300)
        vocabulary = {s: i for i, s in enumerate(sorted(BYTES))}
        for left, right in merges:
            vocabulary.setdefault(left + right, len(vocabulary))
        size = len(vocabulary)
        if name == "gpt2":
            whole = tokenizer(bpe(vocabulary, [" ".join(m) for m in merges]), [added_token(size, "<|endoftext|>")],
                              pre_tokenizer=byte_level(), post_processor=byte_level(), decoder=byte_level())
            added = {"<|endoftext|>": size}
        else:
            # A word that no merge makes: it is found whole, with ignore_merges.
            vocabulary[" zyzzyva".replace(" ", "\u0120")] = size
            begin, end = size + 1, size + 2
            whole = tokenizer(
                bpe(vocabulary, [list(m) for m in merges], ignore_merges=True),
                [added_token(begin, "<|begin_of_text|>"), added_token(end, "<|end_of_text|>")],
                pre_tokenizer={"type": "Sequence", "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
                    byte_level(use_regex=False)]},
                post_processor={"type": "Sequence", "processors": [byte_level(), template("<|begin_of_text|>", begin)]},
                decoder=byte_level())
            added = {"<|begin_of_text|>": begin, "<|end_of_text|>": end}
        made[name] = (whole, pattern, added)
    return made


def make_sentencepiece(corpus):
    """spm.model with Llama 2's settings, and the same as a tokenizer.json."""
    subprocess.run(["spm_train", f"--input={corpus}", f"--model_prefix={HERE}/spm", "--model_type=bpe", "--vocab_size=700",
                    "--byte_fallback=true", "--character_coverage=0.9995", "--normalization_rule_name=identity",
                    "--remove_extra_whitespaces=false", "--allow_whitespace_only_pieces=true", "--split_digits=true",
                    "--num_threads=1", "--minloglevel=2"], check=True)
    (HERE / "spm.vocab").unlink()
    model = sentencepiece.SentencePieceProcessor(model_file=str(HERE / "spm.model"))
    vocabulary = {model.id_to_piece(i): i for i in range(model.get_piece_size())}
    merges = []
    for piece, ident in vocabulary.items():
        local = [(piece[:k], piece[k:]) for k in range(1, len(piece)) if piece[:k] in vocabulary and piece[k:] in vocabulary]
        local.sort(key=lambda p: (vocabulary[p[0]], vocabulary[p[1]]))
        merges += [(model.get_score(ident), left, right) for left, right in local]
    merges.sort(key=lambda m: -m[0])  # stable
    blank = "\u2581"
    whole = tokenizer(
        bpe(vocabulary, [f"{left} {right}" for _, left, right in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True),
        [added_token(0, "<unk>"), added_token(1, "<s>"), added_token(2, "</s>")],
        normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": blank},
                                                        {"type": "Replace", "pattern": {"String": " "}, "content": blank}]},
        post_processor=template("<s>", 1),
        decoder={"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": blank}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
    return model, whole


# Characters of a table of our own: the standard ones take 240 KB.
RULES = {"\u00e9": "e", "e\u0301": "e", "\u00bd": "1 2", "\u3000": " ", "\u00a0": " ", "\t": " ", "\u200b": "", "\u2167": "VIII",
         "\u0130": "i", "ffi": "FFI", "\u2019": "'", "\n": " "}


def make_models(folder, corpus, texts, standard):
    """Models of other settings, and what SentencePiece gives with them."""
    with tempfile.TemporaryDirectory() as other:
        rules = Path(other, "rules.tsv")
        rules.write_text("".join(" ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) + "\n"
                                 for a, b in RULES.items()))
        own = f"--normalization_rule_tsv={rules}"
        settings = {
            "unigram": ["--model_type=unigram", own, "--user_defined_symbols=<mask>,we've,12"],
            "unigram_bytes": ["--model_type=unigram", own, "--byte_fallback=true", "--add_dummy_prefix=false", "--bos_id=-1"],
            "bpe_suffix": ["--model_type=bpe", own, "--treat_whitespace_as_suffix=true", "--user_defined_symbols=GNU,--"],
        }
        if standard:
            settings["nfkc_unigram"] = ["--model_type=unigram"]
            settings["nfkc_bpe"] = ["--model_type=bpe", "--normalization_rule_name=nmt_nfkc_cf", "--byte_fallback=true"]
        made = {}
        for name, options in settings.items():
            subprocess.run(["spm_train", f"--input={corpus}", f"--model_prefix={folder}/{name}", "--vocab_size=480",
                            "--num_threads=1", "--minloglevel=2", "--hard_vocab_limit=false", *options], check=True)
            Path(folder, f"{name}.vocab").unlink()
            model = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/{name}.model")
            made[name] = [{"text": t, "ids": model.encode(t), "decoded": model.decode(model.encode(t))} for t in texts]
    Path(folder, "models.json").write_text(json.dumps(made))


def odd_texts(count, seed):
    """Words, blanks of many kinds, digits, marks, scripts, emoji and control characters, in any order."""
    rng = random.Random(seed)
    words = ["the", "License", "program's", "I'LL", "we've", "don't", "you", "work", "copyright", " zyzzyva", "GNU", "A"]
    blanks = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\u00a0", "\u2003", "\u3000", "\u1680", "\u180e", "\u0085",
              "\u200b"]
    others = ["0", "12", "2026", "3.14", "\u00bd", "\u0663", "\u2167", "!", "?!...", "--", "(", ")", "_", "\u2581", "\u00e9",
              "e\u0301", "na\u00efve", "\u00df", "\u0130", "\u4e2d\u6587", "\u65e5\u672c\u8a9e", "\u0440\u0443\u0441", "\u05e9",
              "\u0645\u0631\u062d\u0628\u0627", "\u0928\u092e\u0938\u094d\u0924\u0947", "\U0001f600", "\U0001f468\u200d\U0001f469",
              "\u0000", "\u0001", "\u007f", "\ufeff", "\ufffd", "\U0010ffff", "<0x0A>", "'", "'S", "\u2019s"]
    texts = ["", " ", "\n", "a", "Hello, world", " Hello  world ", "We've 12345 apples.\n\n\tAnd more"]
    while len(texts) < count:
        texts.append("".join(rng.choice(rng.choice([words, words, blanks, others])) for _ in range(rng.randint(1, 14))))
    return texts


NODE = """const {Tokenizer} = require('@anush008/tokenizers'); const fs = require('fs');
(async () => {
  const out = [];
  for (const {tokenizer, texts} of JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))) {
    const t = Tokenizer.fromString(JSON.stringify(tokenizer)), rows = [];
    for (const text of texts) {
      const ids = Array.from((await t.encode(text, null, {addSpecialTokens: false})).getIds()).map(Number);
      rows.push({text, ids, decoded: await t.decode(ids, true)});
    }
    out.push(rows);
  }
  fs.writeFileSync(process.argv[3], JSON.stringify(out));
})();"""


def library(node, requests):
    """Of each (tokenizer, texts), what Hugging Face's library gives."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, made = Path(folder, "wanted.json"), Path(folder, "made.json")
        wanted.write_text(json.dumps([{"tokenizer": t, "texts": x} for t, x in requests]))
        Path(node, "ask.js").write_text(NODE)
        subprocess.run(["node", "ask.js", str(wanted), str(made)], cwd=node, check=True)
        return json.loads(made.read_text())


def metaspace(scheme, split=True):
    return {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": split}


def variants():
    """Parts around a model, each with a name."""
    def rule(ident, content, **more):
        return {**added_token(ident, content), **more}

    def cut(pattern, behavior, invert=False):
        return {"pre_tokenizer": {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}}

    yield "nothing", {}
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase"):
        yield form, {"normalizer": {"type": form}}
    for left in (False, True):
        for right in (False, True):
            yield f"strip {left} {right}", {"normalizer": {"type": "Strip", "strip_left": left, "strip_right": right}}
    yield "replace", {"normalizer": {"type": "Replace", "pattern": {"Regex": "\\s+|[aeiou]"}, "content": "\u2581"}}
    for scheme in ("always", "first", "never"):
        for split in (False, True):
            yield f"metaspace {scheme} {split}", {"pre_tokenizer": metaspace(scheme, split), "decoder": metaspace(scheme, split)}
    for behavior in ("Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"):
        yield "split " + behavior, cut({"Regex": "[\\s0-9]"}, behavior)
        yield "split inverted " + behavior, cut({"String": "e"}, behavior, True)
        yield "punctuation " + behavior, {"pre_tokenizer": {"type": "Punctuation", "behavior": behavior}}
    for each in (False, True):
        yield f"digits {each}", {"pre_tokenizer": {"type": "Digits", "individual_digits": each}}
    yield "white space", {"pre_tokenizer": {"type": "WhitespaceSplit"}}
    yield "prefix", {"pre_tokenizer": byte_level(True), "decoder": byte_level()}
    yield "added", {"added_tokens": [rule(0, "<unk>"), rule(700, "the", special=False, rstrip=True),
                                     rule(701, "GNU", lstrip=True, rstrip=True), rule(702, "we've", special=False),
                                     rule(703, "we", special=False, lstrip=True)]}
    yield "added and normalised", {
        "normalizer": {"type": "Lowercase"},
        "added_tokens": [rule(0, "<unk>"), rule(700, "License", special=False, normalized=True), rule(701, "GNU", special=False)]}


def make_parts(node, whole, texts):
    """What the library gives with other parts around a model."""
    made = [{"name": name, "parts": {"normalizer": None, "decoder": None, "post_processor": None, **parts}}
            for name, parts in variants()]
    for one, rows in zip(made, library(node, [({**whole, **one["parts"]}, texts) for one in made])):
        one["rows"] = rows
    return made


def main():
    node = sys.argv[1]
    count, seed = (int(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) > 3 else (300, 1)
    HERE.mkdir(exist_ok=True)
    corpus = Path("/usr/share/common-licenses/GPL-3")
    texts = odd_texts(count, seed)
    ends = ["<|endoftext|>", "<|end_of_text|>", "a<|endoftext|> b", "x <|begin_of_text|><|end_of_text|>y"]
    made = make_byte_level(corpus.read_text())
    model, whole = make_sentencepiece(corpus)
    golden = {name: [{"text": t, "ids": encode(w, pattern, added, t)} for t in texts + ends]
              for name, (w, pattern, added) in made.items()}
    golden["llama2"] = [{"text": t, "ids": model.encode(t), "decoded": model.decode(model.encode(t))} for t in texts]
    made["llama2"] = (whole,)
    for name, rows in golden.items():
        for row, theirs in zip(rows, library(node, [(made[name][0], [r["text"] for r in rows])])[0]):
            assert row["ids"] == theirs["ids"], (name, row, theirs)
            assert row.setdefault("decoded", theirs["decoded"]) == theirs["decoded"], (name, row, theirs)
    folder = Path(sys.argv[4]) if len(sys.argv) > 4 else HERE
    if folder == HERE:
        for name, (w, *_) in made.items():
            (HERE / f"{name}.json").write_text(json.dumps(w, indent=0))
    (folder / "ids.json").write_text(json.dumps(golden))
    make_models(folder, corpus, texts, standard=folder != HERE)
    (folder / "parts.json").write_text(json.dumps(make_parts(node, whole, texts[:count // 10])))


if __name__ == "__main__":
    main()
