// What a page may ask for.
#include "app/watch/sample_desk.h"
#include "tests/support/catch.h"

using namespace uvic::app;

TEST_CASE("watch: a request for samples is read within its limits", "[watch]") {
  const SampleLimits limits;
  const auto ask = parse_sample_ask(
      R"({"run":"r1","checkpoint":64000,"label":"index:3","prompt":"a \"red\" hat","seed":9,)"
      R"("images":4,"steps":7,"sampler":"heun","guidance":1.5})",
      limits);
  CHECK(ask.run == "r1");
  CHECK(ask.checkpoint == 64000);
  CHECK(ask.label == "index:3");
  CHECK(ask.prompt == "a \"red\" hat");
  CHECK(ask.seed == 9);
  CHECK(ask.images == 4);
  CHECK(ask.steps == 7);
  CHECK(ask.sampler == "heun");
  CHECK(ask.guidance == 1.5);
  CHECK(parse_sample_ask("{}", limits).sampler == "unipc");
  CHECK(parse_sample_ask(R"({"steps":250,"images":16})", limits).steps == 250);

  for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{
           {"", "JSON object"},
           {"[]", "JSON object"},
           {"{", "JSON object"},
           {R"({"a":{"b":{"c":1}}})", "JSON object"},
           {R"({"colour":1})", "no colour"},
           {R"({"steps":0})", "from 1 to 250"},
           {R"({"steps":251})", "from 1 to 250"},
           {R"({"steps":1.5})", "steps"},
           {R"({"steps":"7"})", "steps"},
           {R"({"images":17})", "from 1 to 16"},
           {R"({"seed":-1})", "seed"},
           {R"({"seed":9007199254740992})", "seed"},
           {R"({"checkpoint":-1})", "checkpoint"},
           {R"({"guidance":"1"})", "guidance"},
           {R"({"guidance":1001})", "guidance"},
           {R"({"sampler":"magic"})", "magic"},
           {R"({"sampler":3})", "sampler"},
           {R"({"prompt":")" + std::string(1001, 'x') + "\"}", "1000 bytes"}}) {
    INFO(text.substr(0, 60));
    CHECK_THROWS_AS(parse_sample_ask(text, limits), std::invalid_argument);
    CHECK_THROWS_WITH(parse_sample_ask(text, limits), Catch::Contains(why));
  }
}
