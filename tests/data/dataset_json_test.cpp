#include "data/dataset_json.h"

#include "tests/data/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using test::grey_png;
using test::holds;
using test::labels;
using test::open_at_8px;
using test::Scratch;
using test::write_grey;
using test::write_text;
using test::write_zip;

TEST_CASE("dataset.json: EDM's labels stand before folders, in zips and folders", "[zip][edm]") {
  const Scratch scratch;
  const std::string json =
      R"({"labels": [["00000/img00000000.png", 2], ["00001/img00000001.png", 0], ["gone.png", 7]]})";
  write_zip(scratch / "set.zip",
            {{"00000/img00000000.png", grey_png(1)},
             {"00001/img00000001.png", grey_png(2)},
             {"dataset.json", json}});
  write_grey(scratch / "set/00000/img00000000.png", 1);
  write_grey(scratch / "set/00001/img00000001.png", 2);
  write_text(scratch / "set/dataset.json", json);
  for (const char* name : {"set.zip", "set"}) {
    const auto dataset = open_at_8px(scratch / name);
    CHECK(labels(*dataset) == std::vector<int>{2, 0});
    CHECK(dataset->class_names() == std::vector<std::string>{"0", "1", "2"});
    CHECK_THAT(dataset->describe(), holds("labels of 1 file that is not there: gone.png"));
  }
}

TEST_CASE("dataset.json: null or absent labels are an unlabelled set", "[edm]") {
  const Scratch scratch;
  write_grey(scratch / "00000/img00000000.png", 1);
  write_grey(scratch / "00001/img00000001.png", 2);
  for (const char* json : {R"({"labels": null})", "{}"}) {
    write_text(scratch / "dataset.json", json);
    CHECK(open_at_8px(scratch.path())->class_names().empty());
  }
}

TEST_CASE("dataset.json: it is found beside the pictures of a wrapped archive", "[edm]") {
  const Scratch scratch;
  write_zip(
      scratch / "set.zip",
      {{"set/00000/a.png", grey_png(1)},
       {"set/dataset.json", R"({"labels": [["00000/a.png", 1]], "class_names": ["cat", "dog"]})"}});
  const auto dataset = open_at_8px(scratch / "set.zip");
  CHECK(labels(*dataset) == std::vector<int>{1});
  CHECK(dataset->class_names() == std::vector<std::string>{"cat", "dog"});
}

TEST_CASE("dataset.json: wrong labels are told with the file they are for", "[edm]") {
  const Scratch scratch;
  write_grey(scratch / "a.png", 1);
  write_grey(scratch / "b.png", 2);
  const auto told = [&](const char* json, const std::string& what) {
    CAPTURE(json);
    write_text(scratch / "dataset.json", json);
    CHECK_THROWS_WITH(open_at_8px(scratch.path()), holds("dataset.json: ") && holds(what));
  };
  told(R"({"labels": [["a.png", 0]]})", "labels lacks b.png");
  told(R"({"labels": [["a.png", 0], ["b.png", -1]]})", "class of b.png is -1, want 0 to");
  told(R"({"labels": [["a.png", 0], ["b.png", 99999999999]]})", "class of b.png is 99999999999");
  told(R"({"labels": [["a.png", 0], ["b.png", 1.5]]})", "class of b.png is of type number");
  told(R"({"labels": [["a.png", 0], ["b.png", [0, 1]]]})", "class of b.png is of type array");
  told(R"({"labels": [["a.png", 0], ["b.png", 1], ["b.png", 1]]})", "names b.png twice");
  told(R"({"labels": [["a.png", 0], ["b.png"]]})", "want [file, class] pairs");
  told(R"({"labels": [["a.png", 0], ["b.png", 2]], "class_names": ["x", "y"]})",
       "2 class_names for the classes 0 to 2");
  told(R"({"labels": {"a.png": 0}})", "labels is of type object");
  told("[]", "want an object");
  told("{", "dataset.json");
}

TEST_CASE("dataset.json: many times more values than the archive has files are refused", "[edm]") {
  const Scratch scratch;
  std::string json = R"({"labels":[)";
  for (int i = 0; i < (1 << 22); ++i) json += "{},";
  write_zip(scratch / "set.zip", {{"a.png", grey_png(1)}, {"dataset.json", json + "{}]}"}});
  CHECK_THROWS_WITH(open_at_8px(scratch / "set.zip"),
                    holds("dataset.json") && holds("more than 4194304 values"));
}
