"""Writes tokens.json: texts, and the ids that the official tokenizers give for them.

  apt-get install python3-regex python3-wcwidth
  git clone https://github.com/openai/CLIP; git clone https://github.com/rspeer/python-ftfy
  npm install @anush008/tokenizers        # Hugging Face's tokenizers library, built for Node
  python3 make_tokens.py CLIP python-ftfy NODE_FOLDER bpe_simple_vocab_16e6.txt.gz [COUNT [SEED]] > tokens.json

"openai" is SimpleTokenizer.encode of OpenAI's code, with ftfy. "slow" is what transformers' CLIPTokenizer does with ftfy
installed: special tokens are cut out, then ftfy.fix_text, white space, str.lower, and the same pattern and merges. "fast" is the
tokenizers library on a tokenizer.json as transformers converts it. Where slow or fast equals openai it is left out.
"""
import importlib.util
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import unicodedata

clip, ftfy_folder, node, vocabulary = sys.argv[1:5]
count = int(sys.argv[5]) if len(sys.argv) > 5 else 400
random.seed(int(sys.argv[6]) if len(sys.argv) > 6 else 1)
sys.path.insert(0, ftfy_folder)
import ftfy  # noqa: E402

spec = importlib.util.spec_from_file_location("simple_tokenizer", clip + "/clip/simple_tokenizer.py")
official = importlib.util.module_from_spec(spec)
spec.loader.exec_module(official)
tokenizer = official.SimpleTokenizer(vocabulary)


def slow(text):
    ids = []
    for part in re.split(r"(<\|startoftext\|>|<\|endoftext\|>)", text):
        if part in ("<|startoftext|>", "<|endoftext|>"):
            ids.append(tokenizer.encoder[part])
            continue
        for piece in official.re.findall(tokenizer.pat, official.whitespace_clean(ftfy.fix_text(part)).lower()):
            symbols = "".join(tokenizer.byte_encoder[b] for b in piece.encode("utf-8"))
            ids.extend(tokenizer.encoder[s] for s in tokenizer.bpe(symbols).split(" "))
    return ids


PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def tokenizer_json():
    """As transformers' convert_slow_tokenizer makes it of CLIP's vocab.json and merges.txt."""
    token = {"special": True, "single_word": False, "lstrip": False, "rstrip": False}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [dict(token, id=49406, content="<|startoftext|>", normalized=True),
                         dict(token, id=49407, content="<|endoftext|>", normalized=False)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}, {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Removed", "invert": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}]},
        "post_processor": {"type": "RobertaProcessing", "sep": ["<|endoftext|>", 49407], "cls": ["<|startoftext|>", 49406],
                           "trim_offsets": False, "add_prefix_space": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<|endoftext|>", "continuing_subword_prefix": "",
                  "end_of_word_suffix": "</w>", "fuse_unk": False, "vocab": tokenizer.encoder,
                  "merges": [" ".join(m) for m in tokenizer.bpe_ranks]}}


NODE = """const {Tokenizer} = require('@anush008/tokenizers'); const fs = require('fs');
(async () => {
  const t = Tokenizer.fromFile(process.argv[2]), out = [];
  for (const x of JSON.parse(fs.readFileSync(process.argv[3], 'utf8')))
    out.push(Array.from((await t.encode(x, null, {addSpecialTokens: false})).getIds()).map(Number));
  console.log(JSON.stringify(out));
})();"""


def fast(texts):
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("tokenizer.json", tokenizer_json()), ("texts.json", texts)):
            with open(os.path.join(folder, name), "w") as file:
                json.dump(content, file)
        with open(os.path.join(node, "fast.js"), "w") as file:
            file.write(NODE)
        return json.loads(subprocess.check_output(
            ["node", "fast.js", folder + "/tokenizer.json", folder + "/texts.json"], cwd=node))


CAPTIONS = [
    "", " ", "a photo of a cat", "A man's dog isn't here; they'll've gone, we're sure I'm 'd 'S 'T 'RE 'VE",
    "2 dogs, 34 cats & 5,678.90 birds!!!", "  tabs\tand\nlines\r\n  collapse \u3000 \u00a0 \u2003 here ",
    "<|startoftext|>a cat<|endoftext|>", "x<|ENDOFTEXT|>y", "<|STARTOFTEXT|>", "<|\u017ftartoftext|> '\u017f \u017f", "!!<|startoftext|>!!",
    "caf\u00e9 cafe\u0301 CAFÉ Ça İstanbul ıI ΟΔΟΣ ὈΔΥΣΣΕΎΣ Σ ΑΣ' ΑΣ. ΣΣ Straße STRASSE ẞ Ǆ ǅ ǆ ﬁ ﬀ ﬅ ŉ Ĳ",
    "日本語のキャプション 猫の写真 ﾈｺ Ｃａｔ ｃａｔ　１２３", "사진 속 고양이 \u1100\u1161\u11a8 각", "кошка на Столе, ЁЖИК", "قطة صغيرة", "बिल्ली का चित्र",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪 😀😀 emoji", "½ ² ³ ① Ⅷ ⅷ Ⓐ ⓐ ٣ ३ 三", "“curly” ‘quotes’ «guillemets» — – … •", "&amp; &lt;b&gt; &amp;amp; &eacute; &EACUTE; &#39; &#x27; &#128; &notit; &not; &copy &nbsp;x &hellip;",
    "<b>&amp;</b> &eacute;", "line one &amp;\nline <two> &amp;\nline three &amp;",
    "cafÃ© â€œquotedâ€\u009d itâ€™s naÃ¯ve schÃ¶n", "Ã\u00a0 la carte voilÃ  le", "l’humanitÃ©", "Ð¼Ð¾ÑÐºÐ²Ð°", "â\x80\x99 \x91quoted\x92 \x85",
    "a\x00b\x07c\x1bd \x1b[31mred\x1b[0m \x7f \ufeffbom \ufffc \ufffd \u200b\u200d", "\u0345a\u0345 \u0301 a\u0301\u0323\u0345", "a" * 300, "ab" * 200 + "! " * 50,
    "http://example.com/a_b?c=d#e user@example.org #tag @name $5.99 50% 3-D C++ 'quoted' it''s ''''s",
    "\u2028line\u2029sep\x0bvt\x0cff\x1cfs\x85nel", "\U00013000 \U0001f000 \U000e0041 \uffff \U0010ffff", "Å ÅÅ Ångström Å\u030a", "à côté, ça va? Où est-il? ÀÉÈ",
    "ÂÃ ÂÂ x Ã¢Â€Â™ ÃÂ© ÐŸ Ñ€ÐµÐ´ РїСЂРёРІРµС‚", "√© √™ ‚Äôs ¬∞", "β€™ Î±Î²Î³ Ξ±", "ā€™ Ä\u0081", "x × ² ×²  à²® à¤¨",
]
WORDS = ("a the of on with photo picture cat dog man's woman's isn't riding bicycle red green Blue LARGE table's naïve café façade "
         "über Zürich São piñata smörgåsbord 12 3.5 2nd 1990s x-ray t-shirt ice-cream don't they'll we've I'm you'd rock'n'roll").split()
ENCODINGS = ["latin-1", "cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "cp1257", "iso-8859-2", "mac-roman", "cp437"]
ODD = "’‘“”…—–«»©®™°±²³¹½¼¾×÷€£¥¢§¶•·¿¡ªºµß¨´¸¯¬¦¤ÀÉÎÕÜàéîõüñçøåæœŒšžŸłőűğşțДжиπΩσς漢字かな한글🎉😀\u00a0\u2028\u0301\u0323\u0345\u200d\ufe0f<>&;#'\"\\/|`~^_=+*%$@!?.,:()[]{}"
ENTITIES = ["&amp;", "&lt;", "&eacute;", "&quot;", "&#39;", "&#233;", "&#x2019;", "&nbsp;", "&NTILDE;", "&hearts;", "&rarr", "&copy", "&#150;", "&#0;", "&#xD800;", "&#1114112;", "&Aacute;&", "&fjlig;"]


def sentence():
    return " ".join(random.choice(WORDS) for _ in range(random.randint(1, 8)))


def broken(text):
    """Text that was encoded in UTF-8 and decoded as something else, once or twice."""
    for _ in range(random.choice([1, 1, 1, 2])):
        text = text.encode("utf-8").decode(random.choice(ENCODINGS), "replace")
    if random.random() < 0.3:
        text = text.replace("\xa0", " ")
    return text


def random_text():
    kind = random.randrange(8)
    if kind == 0:
        return sentence()
    if kind == 1:
        return "".join(random.choice(ODD) for _ in range(random.randint(1, 12)))
    if kind == 2:
        return " ".join(random.choice([sentence(), random.choice(ENTITIES), random.choice(ODD)]) for _ in range(4))
    if kind == 3:
        return broken(sentence() + "".join(random.choice(ODD) for _ in range(random.randint(1, 5))))
    if kind == 4:
        return sentence() + " " + broken("".join(random.choice(ODD) for _ in range(3))) + " " + random.choice(ODD) + sentence()
    if kind == 5:
        points = [random.choice([random.randrange(0x250), random.randrange(0x3000), random.randrange(0x10000), random.randrange(0x110000)])
                  for _ in range(random.randint(1, 10))]
        return "".join(chr(p) for p in points if unicodedata.category(chr(p)) not in ("Cn", "Cs"))  # of no later Unicode
    if kind == 6:
        return "".join(chr(random.randrange(0x80, 0x100)) if random.random() < .6 else random.choice("aZ é") for _ in range(random.randint(1, 8)))
    return "".join(random.choice(["Σ", "ς", "'", "s", "A", ".", "İ", "\u0307", "\u0345", "<|endoftext|>", " ", "ﬁ", "e\u0301"]) for _ in range(random.randint(1, 9)))


texts = list(dict.fromkeys(CAPTIONS + [random_text() for _ in range(count)]))
rows = []
for text, fast_ids in zip(texts, fast(texts)):
    row = {"text": text, "openai": tokenizer.encode(text)}
    if slow(text) != row["openai"]:
        row["slow"] = slow(text)
    if fast_ids != row["openai"]:
        row["fast"] = fast_ids
    rows.append(row)
print("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]")
