// Captioned images from every kind of source.
#include "data/captions.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/brace_range.h"
#include "data/caption_list.h"
#include "data/captioned_set.h"
#include "data/dataset.h"
#include "data/formats/atomic_file.h"
#include "data/formats/csv.h"
#include "data/formats/image_file.h"
#include "data/formats/zip_writer.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

namespace fs = std::filesystem;
using namespace uvic;
using namespace uvic::data;
using Catch::Matchers::Contains;
using nlohmann::json;
using Words = std::vector<std::string>;

namespace {

const std::string kShards = UVIC_GOLDEN_DIR "/formats/shard-";

void write_caption_file(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

void write_image(const fs::path& path, uint8_t red) {
  fs::create_directories(path.parent_path());
  formats::Image image;
  image.width = image.height = 2;
  image.rgb.assign(12, red);
  formats::write_png(path, image);
}

std::string refusal(const std::string& source, const std::string& images = "") {
  try {
    open_captioned_images(source, images);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "opened";
}

/// Three images with ids out of order, and their captions.
json coco() {
  return {{"info", {{"year", 2014}}},
          {"images",
           {{{"id", 9}, {"file_name", "c.png"}},
            {{"id", 2}, {"file_name", "a.png"}},
            {{"id", 5}, {"file_name", "b.png"}}}},
          {"annotations",
           {{{"id", 1}, {"image_id", 9}, {"caption", "third"}},
            {{"id", 2}, {"image_id", 2}, {"caption", "first"}},
            {{"id", 3}, {"image_id", 5}, {"caption", "second"}},
            {{"id", 4}, {"image_id", 2}, {"caption", "first again"}}}}};
}

}  // namespace

TEST_CASE("captions: COCO's images are in the order of their ids", "[data][captions]") {
  test::Scratch scratch;
  const auto json_path = (scratch / "annotations/captions_val2014.json").string();
  write_caption_file(json_path, coco().dump());
  CHECK_THAT(refusal(json_path), Contains("its images are not found") && Contains("val2014"));
  int red = 0;
  for (const auto* name : {"a", "b", "c"})
    write_image(scratch / fmt::format("val2014/{}.png", name), static_cast<uint8_t>(++red));
  const auto images = open_captioned_images(json_path);
  REQUIRE(images->size() == 3);
  CHECK(images->captions(0) == Words{"first", "first again"});
  CHECK(images->captions(1) == Words{"second"});
  CHECK(images->captions(2) == Words{"third"});
  CHECK(images->name(1) == "b.png");
  CHECK(images->decode(2).rgb[0] == 3);
  CHECK(images->notes().empty());
  CHECK_THAT(images->describe(), Contains("3 images, 4 captions (COCO)"));
  CHECK_THROWS_AS(images->captions(3), std::out_of_range);
  // The folder given, also one above, and another order of the file.
  CHECK(open_captioned_images(json_path, (scratch / "val2014").string())->fingerprint() ==
        images->fingerprint());
  CHECK(open_captioned_images(json_path, scratch.path().string())->name(0) == "val2014/a.png");
  auto changed = coco();
  changed["annotations"][0]["caption"] = "other";
  write_caption_file(json_path, changed.dump());
  CHECK(open_captioned_images(json_path)->fingerprint() != images->fingerprint());
}

TEST_CASE("captions: other content under the same name and size is other data",
          "[data][captions]") {
  test::Scratch scratch;
  for (const auto* folder : {"one", "two"}) {
    write_image(scratch / folder / "a.png", folder[0] == 'o' ? 1 : 2);
    write_caption_file(scratch / folder / "a.txt", "a square");
    fs::resize_file(scratch / folder / "a.png", 5000);  // what follows a PNG's end is not read
  }
  REQUIRE(fs::file_size(scratch / "one/a.png") == fs::file_size(scratch / "two/a.png"));
  DatasetOptions options;
  options.image_size = 8;
  const auto one = open_captioned_dataset((scratch / "one").string(), options),
             two = open_captioned_dataset((scratch / "two").string(), options);
  CHECK_THAT(one->fingerprint(), Contains("captioned images=1 captions=1 sampled="));
  CHECK(is_same_data(*one, one->fingerprint()));
  CHECK_FALSE(is_same_data(*one, two->fingerprint()));
  // Without contents, as runs recorded it before; and with those of a zip of the same files.
  const auto images = open_captioned_images((scratch / "one").string());
  const auto old = images->fingerprint_like("captioned images=1 captions=1 content=");
  CHECK(is_same_data(*two, old));
  formats::ZipWriter zip(scratch / "one.zip");
  for (const auto* name : {"a.png", "a.txt"})
    zip.add(name, formats::read_file(scratch / "one" / name));
  zip.commit();
  const auto packed = open_captioned_dataset((scratch / "one.zip").string(), options);
  CHECK_THAT(packed->fingerprint(), Contains(" crc="));
  CHECK(is_same_data(*packed, one->fingerprint()));
  CHECK(is_same_data(*one, packed->fingerprint()));
  CHECK_FALSE(is_same_data(*packed, two->fingerprint()));
}

TEST_CASE("captions: faults of COCO's files are one line with counts and names",
          "[data][captions]") {
  test::Scratch scratch;
  const auto path = (scratch / "captions.json").string();
  write_image(scratch / "a.png", 1);
  write_caption_file(path, coco().dump());
  CHECK_THAT(refusal(path), Contains("2 of its 3 images are not in") && Contains("b.png, c.png"));
  write_image(scratch / "b.png", 1);
  write_image(scratch / "c.png", 1);
  auto changed = coco();
  changed["annotations"][0]["caption"] = " \n";
  changed["annotations"][3]["caption"] = "";
  write_caption_file(path, changed.dump());
  const auto images = open_captioned_images(path);
  CHECK(images->size() == 2);
  REQUIRE(images->notes().size() == 2);
  CHECK(images->notes()[0] == "2 empty captions left out: of a.png, c.png");
  CHECK(images->notes()[1] == "1 images without a caption left out: c.png");
  changed["annotations"][1]["image_id"] = 77;
  write_caption_file(path, changed.dump());
  CHECK_THAT(refusal(path),
             Contains("1 captions are of images that it does not list, the first of image 77"));
  changed = coco();
  changed["images"][0]["id"] = 2;
  write_caption_file(path, changed.dump());
  CHECK_THAT(refusal(path), Contains("two images have the id 2"));
  write_caption_file(path, "{\"images\": []}");
  CHECK_THAT(refusal(path), Contains("without a list \"annotations\""));
  write_caption_file(path, "{\"images\": [], \"annotations\": []}");
  CHECK_THAT(refusal(path), Contains("lists no image"));
  write_caption_file(path, "{\"images\": [1], \"annotations\": []}");
  CHECK_THAT(refusal(path), Contains("an entry without \"id\""));
  write_caption_file(path, "{\"a\xff\": 1}");
  CHECK_THAT(refusal(path), Contains("not valid JSON"));
}

TEST_CASE("captions: metadata.jsonl and metadata.csv of Hugging Face's image folders",
          "[data][captions]") {
  test::Scratch scratch;
  for (const auto* name : {"train/b.png", "train/sub/a.png"}) write_image(scratch / name, 4);
  write_caption_file(scratch / "train/metadata.jsonl",
                     "{\"file_name\": \"sub/a.png\", \"text\": \"one\"}\n\n"
                     "{\"file_name\": \"./b.png\", \"text\": [\"two\", \"three\"]}\r\n");
  const auto images = open_captioned_images(scratch.path().string());
  REQUIRE(images->size() == 2);
  CHECK(images->name(0) == "train/sub/a.png");
  CHECK(images->captions(1) == Words{"two", "three"});
  CHECK_THAT(images->describe(), Contains("(metadata.jsonl)"));

  fs::remove(scratch / "train/metadata.jsonl");
  write_caption_file(scratch / "train/metadata.csv",
                     "\xef\xbb\xbf"
                     "caption,file_name,n\n\"a \"\"quoted\"\", one\nof two lines\",b.png,1\n");
  const auto csv = open_captioned_images(scratch.path().string());
  REQUIRE(csv->size() == 1);
  CHECK(csv->captions(0) == Words{"a \"quoted\", one\nof two lines"});

  write_caption_file(scratch / "train/metadata.csv", "file_name,label\nb.png,1\n");
  CHECK_THAT(refusal(scratch.path().string()), Contains("want file_name and one of text, caption"));
  write_caption_file(scratch / "train/metadata.csv", "file_name,text\nb.png\n");
  CHECK_THAT(refusal(scratch.path().string()), Contains("row 2 has 1 fields, the first has 2"));
  write_caption_file(scratch / "train/metadata.csv", "file_name,text\nb.png,bad\xff\n");
  CHECK_THAT(refusal(scratch.path().string()),
             Contains("1 captions are not UTF-8: of train/b.png"));
  fs::remove(scratch / "train/metadata.csv");
  write_caption_file(scratch / "train/metadata.jsonl",
                     "{\"file_name\": \"b.png\", \"label\": 1}\n");
  CHECK_THAT(refusal(scratch.path().string()),
             Contains("metadata.jsonl line 1: no caption: it has file_name, label"));
  write_caption_file(scratch / "train/metadata.jsonl", "{\"file_name\": \"b.png\", \"text\": 1}\n");
  CHECK_THAT(refusal(scratch.path().string()), Contains("text is neither a text nor a list"));
  write_caption_file(scratch / "train/metadata.jsonl",
                     "{\"file_name\": \"x.png\", \"text\": \"x\"}\n");
  CHECK_THAT(refusal(scratch.path().string()), Contains("1 of its 1 images are not in"));
}

TEST_CASE("captions: parts of a set with metadata of their own are not chosen between",
          "[data][captions]") {
  test::Scratch scratch;
  for (const auto* part : {"test", "train"}) {
    write_image(scratch / part / "a.png", 4);
    write_caption_file(scratch / part / "metadata.jsonl",
                       json{{"file_name", "a.png"}, {"text", part}}.dump());
  }
  CHECK_THAT(refusal(scratch.path().string()),
             Contains("2 parts with metadata of their own: test/, train/; give one of these"));
  CHECK(open_captioned_images((scratch / "train").string())->captions(0) == Words{"train"});
  write_caption_file(scratch / "metadata.jsonl",
                     R"({"file_name": "train/a.png", "text": "of both"})");
  CHECK(open_captioned_images(scratch.path().string())->captions(0) == Words{"of both"});
}

TEST_CASE("captions: a mark before UTF-8 is no letter of the first caption", "[data][captions]") {
  test::Scratch scratch;
  write_image(scratch / "a.png", 4);
  write_caption_file(scratch / "a.txt", "\xef\xbb\xbfone\r\ntwo");
  CHECK(open_captioned_images(scratch.path().string())->captions(0) == Words{"one", "two"});
}

TEST_CASE("captions: another image of a key is no second image of its caption",
          "[data][captions]") {
  test::Scratch scratch;
  for (const auto* name : {"a.jpg.png", "b.png", "b.seg.png", "c.d.png"})
    write_image(scratch / name, 4);
  for (const auto* name : {"a", "b", "c.d"})
    write_caption_file(scratch / (std::string(name) + ".txt"), name);
  const auto images = open_captioned_images(scratch.path().string());
  REQUIRE(images->size() == 3);
  CHECK(images->name(0) == "a.jpg.png");  // the only image of its key
  CHECK(images->name(1) == "b.png");
  CHECK(images->captions(2) == Words{"c.d"});
  REQUIRE(images->notes().size() == 1);
  CHECK(images->notes()[0] == "1 images without a caption left out: b.seg.png");
}

TEST_CASE("captions: a text file next to each image", "[data][captions]") {
  test::Scratch scratch;
  const auto folder = scratch / "f";
  for (const auto* name : {"b.png", "a.v2.png", "c.png", "d.png"}) write_image(folder / name, 5);
  write_caption_file(folder / "b.txt", "one\r\n\ntwo\n");
  write_caption_file(folder / "a.v2.txt", "three");
  write_caption_file(folder / "c.json", R"({"caption": "four"})");
  write_caption_file(folder / "README.txt", "no caption");
  const auto images = open_captioned_images(folder.string());
  REQUIRE(images->size() == 3);
  CHECK(images->name(0) == "a.v2.png");
  CHECK(images->captions(1) == Words{"one", "two"});
  CHECK(images->captions(2) == Words{"four"});
  REQUIRE(images->notes().size() == 2);
  CHECK(images->notes()[0] == "1 .txt file without an image: README.txt");
  CHECK(images->notes()[1] == "1 images without a caption left out: d.png");
  write_caption_file(folder / "b.txt", "bad \xc3\x28");
  CHECK_THAT(refusal(folder.string()), Contains("1 captions are not UTF-8: of b.png"));
  for (const auto* name : {"b.txt", "a.v2.txt", "c.json"}) fs::remove(folder / name);
  CHECK_THAT(refusal(folder.string()), Contains("none of its 4 images has a caption"));
  CHECK_THAT(refusal((scratch / "absent").string()), Contains("no such file or folder"));
}

TEST_CASE("captions: WebDataset's tars, one and several", "[data][captions]") {
  const auto one = open_captioned_images(kShards + "0000.tar");
  REQUIRE(one->size() == 3);
  CHECK(one->captions(0) == Words{"a red square"});
  CHECK(one->captions(2) == Words{"café"});
  CHECK(one->name(1) == "0002.png");
  CHECK(one->decode(1).rgb[0] == 200);
  const auto both = open_captioned_images(kShards + "{0000..0001}.tar");
  REQUIRE(both->size() == 4);
  CHECK(both->captions(3) == Words{"in json"});
  CHECK_THAT(both->describe(), Contains("set of 2 tar archives"));
  CHECK_THAT(refusal(kShards + "{0000..0004}.tar"),
             Contains("3 of 5 archives are absent") && Contains("shard-0002.tar"));
  // Two archives with the same names: their files are told apart.
  test::Scratch scratch;
  for (const auto* copy : {"x-0.tar", "x-1.tar"})
    fs::copy_file(kShards + "0000.tar", scratch / copy);
  const auto twins = open_captioned_images((scratch / "x-{0..1}.tar").string());
  REQUIRE(twins->size() == 6);
  CHECK(twins->name(4) == "x-1:0002.png");
  CHECK(twins->captions(4) == Words{"a second one"});
}

TEST_CASE("dataset: tars train with the classes of their .cls files", "[data][captions]") {
  DatasetOptions options;
  options.image_size = 2;
  const auto images = open_dataset(kShards + "{0000..0001}.tar", options);
  REQUIRE(images->size() == 4);
  CHECK(images->class_names().size() == 8);
  std::vector<uint8_t> planes(12);
  CHECK(images->read(0, planes.data()) == 7);
  CHECK(planes[0] == 10);
  CHECK(images->read(1, planes.data()) == 3);
  CHECK(images->read(3, planes.data()) == 5);
  CHECK_THAT(images->describe(), Contains("set of 2 tar archives") && Contains("8 classes"));
  CHECK(images->fingerprint() != open_dataset(kShards + "0000.tar", options)->fingerprint());

  test::Scratch scratch;
  write_image(scratch / "a.png", 1);
  write_image(scratch / "b.png", 1);
  write_caption_file(scratch / "a.cls", " 2\n");
  CHECK_THROWS_WITH(open_dataset(scratch.path().string(), options),
                    Contains("1 of 2 images have no .cls file: b.png"));
  write_caption_file(scratch / "b.cls", "cat");
  CHECK_THROWS_WITH(open_dataset(scratch.path().string(), options),
                    Contains("b.cls is not a class"));
  write_caption_file(scratch / "b.cls", "0");
  CHECK(open_dataset(scratch.path().string(), options)->class_names().size() == 3);
}

TEST_CASE("brace ranges stand for names", "[data][captions]") {
  CHECK(expand_braces("a") == Words{"a"});
  CHECK(expand_braces("t-{008..011}.tar") ==
        Words{"t-008.tar", "t-009.tar", "t-010.tar", "t-011.tar"});
  CHECK(expand_braces("{2..0}") == Words{"2", "1", "0"});
  CHECK(expand_braces("{a,b}{1..2}") == Words{"a1", "a2", "b1", "b2"});
  CHECK(expand_braces("{x}{") == Words{"{x}{"});
  CHECK(expand_braces("{a..b}") == Words{"{a..b}"});
  CHECK_THROWS_WITH(expand_braces("{0..99999999}"), Contains("more than 16384 names"));
  CHECK_THROWS_WITH(expand_braces("{0..999}{0..999}"), Contains("more than 16384 names"));
}

TEST_CASE("csv: fields, quotation marks and line ends", "[data][captions]") {
  using Rows = std::vector<Words>;
  CHECK(formats::parse_csv("a,b\r\n\n\"x\"\"y,\",\n", "c") == Rows{{"a", "b"}, {"x\"y,", ""}});
  CHECK(formats::parse_csv("a,\"b\nc\"\rd", "c") == Rows{{"a", "b\nc"}, {"d"}});
  CHECK(formats::parse_csv("", "c").empty());
  CHECK_THROWS_WITH(formats::parse_csv("a\n\"b\n", "c"),
                    Contains("c: line 2: a quotation mark that is not closed"));
  CHECK_THROWS_WITH(formats::parse_csv("\"b\"c", "c"), Contains("text after a quotation mark"));
}

TEST_CASE("caption lists: JSON, or a caption on each line", "[data][captions]") {
  test::Scratch scratch;
  const auto list = [&](const std::string& text) {
    write_caption_file(scratch / "c", text);
    return read_caption_list(scratch / "c");
  };
  CHECK(list("[\"a\", \"\", \"caf\\u00e9\"]") == Words{"a", "", "café"});
  CHECK(list("\xef\xbb\xbf"
             "a\r\nb\n\nc") == Words{"a", "b", "", "c"});
  CHECK(list("[a photo]\nof b") == Words{"[a photo]", "of b"});
  CHECK_THROWS_WITH(list("[\"a\", 1]"), Contains("caption 2 is of type number"));
  CHECK_THROWS_WITH(list("a\nb\xff"), Contains("caption 2 is not UTF-8: byte 1 is 0xff"));
  CHECK_THROWS_WITH(list(""), Contains("no captions"));
}
