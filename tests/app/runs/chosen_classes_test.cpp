// The classes that --labels means.
#include <string>
#include <vector>

#include "app/runs/network_source.h"
#include "tests/support/catch.h"

using namespace uvic::app;
using Catch::Contains;

namespace {

std::vector<int64_t> chosen(const std::string& text, std::vector<std::string> names) {
  SampleSource source;
  source.training.model.uvit.num_classes = static_cast<int64_t>(names.size());
  source.training.label_dropout = 0;
  source.class_names = std::move(names);
  return chosen_classes(text, source);
}

}  // namespace

TEST_CASE("labels: takes names and numbers", "[labels]") {
  CHECK(chosen("dog,0", {"cat", "dog"}) == std::vector<int64_t>{1, 0});
  CHECK(chosen("index:1,name:cat", {"cat", "dog"}) == std::vector<int64_t>{1, 0});
  CHECK(chosen("1", {"0", "1", "2"}) == std::vector<int64_t>{1});  // both ways the same
  CHECK_THROWS_WITH(chosen("2", {"cat", "dog"}), Contains("classes are 0 to 1"));
  CHECK_THROWS_WITH(chosen("01", {"cat", "dog"}), Contains("classes are cat, dog"));
  CHECK_THROWS_WITH(chosen("elephant", {"cat", "dog"}),
                    Contains("no such class; classes are cat, dog"));
  CHECK_THROWS_WITH(chosen("dot", {"cat", "dog"}),
                    Contains("did you mean dog?") && Contains("classes are cat, dog"));
}

TEST_CASE("labels: of classes that are named by other numbers is never a guess", "[labels]") {
  const std::vector<std::string> names = {"1", "10", "2"};  // in the order of names
  CHECK_THROWS_WITH(chosen("1", names),
                    Contains("class 1 is named 10, and the class named 1 is class 0; write index:1 "
                             "or name:1"));
  CHECK(chosen("index:1", names) == std::vector<int64_t>{1});
  CHECK(chosen("name:1", names) == std::vector<int64_t>{0});
  CHECK(chosen("10", names) == std::vector<int64_t>{1});  // no class has the number 10
  CHECK_THROWS_WITH(chosen("name:0", names), Contains("no such class"));
}
