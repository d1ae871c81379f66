#include "app/sampling/prompt_list.h"

#include <set>
#include <utility>

#include "data/formats/atomic_file.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::app;
using Catch::Contains;
using uvic::formats::write_file_atomically;
using uvic::test::Scratch;

TEST_CASE("prompts are those given, or the lines of a file", "[prompts]") {
  const Scratch scratch;
  const auto file = (scratch / "prompts.txt").string();
  write_file_atomically(file, "a dog\r\n\n  a cat  \n");
  CHECK(read_prompts({"a", "b"}, "") == std::vector<std::string>{"a", "b"});
  CHECK(read_prompts({}, file) == std::vector<std::string>{"a dog", "  a cat"});
  CHECK_THROWS_AS(read_prompts({"a"}, file), std::invalid_argument);
  write_file_atomically(file, "\n\n");
  CHECK_THROWS_WITH(read_prompts({}, file), Contains("no prompt in it"));
  write_file_atomically(file,
                        "\xef\xbb\xbf"
                        "a dog\n");  // a mark of some editors
  CHECK(read_prompts({}, file) == std::vector<std::string>{"a dog"});
}

TEST_CASE("prompts may be a JSON list of texts, and a line may begin with a bracket", "[prompts]") {
  const Scratch scratch;
  const auto file = (scratch / "prompts.json").string();
  write_file_atomically(file, "[\"a dog\",\n \"a cat, [left]\"]\n");
  CHECK(read_prompts({}, file) == std::vector<std::string>{"a dog", "a cat, [left]"});
  write_file_atomically(file, "[left] a dog\na cat\n");
  CHECK(read_prompts({}, file) == std::vector<std::string>{"[left] a dog", "a cat"});
  write_file_atomically(file, "\xef\xbb\xbf[\"a dog\", \"a cat\"]");
  CHECK(read_prompts({}, file) == std::vector<std::string>{"a dog", "a cat"});
  CHECK(choose_captions(file, 2, 0).front().size() == 5);
  write_file_atomically(file, "[\"a dog\", 3]");
  CHECK_THROWS_WITH(read_prompts({}, file),
                    file + ": a list with a number in it, want a list of texts");
}

TEST_CASE("a prompt that is not UTF-8 is named", "[prompts]") {
  const Scratch scratch;
  const auto file = (scratch / "prompts.txt").string();
  write_file_atomically(file,
                        "caf\xc3\xa9\n\nb\xff"
                        "d\n");
  CHECK_THROWS_WITH(read_prompts({}, file), file + ": prompt 2 is not UTF-8: byte 1 is 0xff");
  CHECK_THROWS_WITH(read_prompts({"a", "b", "\xc3"}, ""),
                    "--prompt: prompt 3 is not UTF-8: byte 0 is 0xc3");
  CHECK_THROWS_AS(read_prompts({"\xc3"}, ""), std::invalid_argument);
}

TEST_CASE("captions of MS-COCO are chosen by seed, one of each image, none twice at first",
          "[prompts]") {
  const Scratch scratch;
  const auto file = (scratch / "captions.json").string();
  write_file_atomically(file,
                        R"({"images": [], "annotations": [
      {"image_id": 7, "id": 1, "caption": "7 a"}, {"image_id": 2, "id": 2, "caption": "2 a"},
      {"image_id": 7, "id": 3, "caption": "7 b"}, {"image_id": 5, "id": 4, "caption": "5 a"}]})");
  const auto chosen = choose_captions(file, 3, 1);
  std::set<char> images;
  for (const auto& caption : chosen) images.insert(caption[0]);
  CHECK(images == std::set<char>{'2', '5', '7'});
  CHECK(chosen == choose_captions(file, 3, 1));
  CHECK(choose_captions(file, 2, 1) ==
        std::vector<std::string>(chosen.begin(), chosen.begin() + 2));
  std::set<std::vector<std::string>> orders;
  for (uint64_t seed = 0; seed < 20; ++seed) orders.insert(choose_captions(file, 3, seed));
  CHECK(orders.size() > 3);
  CHECK(choose_captions(file, 9, 1).size() == 9);
}

TEST_CASE("captions are read from lists and texts too, and other files are refused by name",
          "[prompts]") {
  const Scratch scratch;
  const auto file = (scratch / "captions").string();
  write_file_atomically(file, R"(["one", "two"])");
  CHECK(choose_captions(file, 2, 0).size() == 2);
  write_file_atomically(file, "one\ntwo\n");
  const auto chosen = choose_captions(file, 2, 0);
  CHECK(std::set<std::string>(chosen.begin(), chosen.end()) == std::set<std::string>{"one", "two"});
  for (const auto* text : {"one\n\n \t\ntwo\n\n", R"(["", "one", " ", "two"])"}) {
    write_file_atomically(file, text);  // an empty caption would give an image of no text
    const auto of_text = choose_captions(file, 8, 0);
    CHECK(std::set<std::string>(of_text.begin(), of_text.end()) ==
          std::set<std::string>{"one", "two"});
  }
  write_file_atomically(file, R"({"annotations": [{"image_id": 1, "caption": " "}]})");
  CHECK_THROWS_WITH(choose_captions(file, 2, 0), Contains("no caption in it"));
  write_file_atomically(file, R"({"a": 1})");
  CHECK_THROWS_WITH(choose_captions(file, 2, 0), Contains("no captions"));
  write_file_atomically(file, R"({"annotations": [{"caption": "x"}]})");
  CHECK_THROWS_WITH(choose_captions(file, 2, 0), Contains("annotation without image_id"));
  write_file_atomically(file, "");
  CHECK_THROWS_WITH(choose_captions(file, 2, 0), Contains("captions"));
  // Chosen ten thousand times, a text of megabytes would fill the memory.
  const std::string longest(16384, 'a');
  for (const auto& [before, after] :
       {std::pair<const char*, const char*>{"", ""},
        {"[\"", "\"]"},
        {R"({"annotations": [{"image_id": 1, "caption": ")", "\"}]}"}}) {
    write_file_atomically(file, before + longest + after);
    CHECK(choose_captions(file, 1, 0) == std::vector<std::string>{longest});
    write_file_atomically(file, before + longest + "a" + after);
    CHECK_THROWS_WITH(choose_captions(file, 1, 0), Contains("a text of 16385 bytes"));
  }
  write_file_atomically(file, longest + "a\n");
  CHECK_THROWS_WITH(read_prompts({}, file), Contains("a text of 16385 bytes"));
}
