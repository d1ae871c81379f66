// Event files as Google's protobuf serialises them (tests/golden/formats/make_events.py).
#include "data/formats/tensorboard_events.h"

#include "data/formats/atomic_file.h"
#include "tests/support/catch.h"

using namespace uvic::formats;
using Catch::Matchers::Contains;

namespace {

constexpr EventTime kAt{1700000000.25, 300};

std::string all_kinds() {
  return version_record(kAt.wall_time) + session_start_record(kAt) +
         scalars_record(kAt, {{"loss", 0.125}, {"lr", 2e-4}}) +
         image_record(kAt, "grid", "\x89PNG" + std::string(200, '\0'), 2, 300) +
         text_record(kAt, "config", "batch_size = 8\n") +
         hyper_parameters_record(kAt,
                                 {{"attention", std::string("cog")}, {"flip", true}, {"lr", 2e-4}});
}

}  // namespace

TEST_CASE("events: records are those of protobuf, byte for byte", "[events]") {
  CHECK(all_kinds() == read_file(UVIC_GOLDEN_DIR "/formats/tensorboard.events"));
}

TEST_CASE("events: the checksum is CRC-32C", "[events]") {
  CHECK(crc32c("123456789") == 0xe3069283);  // RFC 3720, B.4 has others of the same polynomial
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aa);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43);
  CHECK(crc32c("") == 0);
}

TEST_CASE("events: what was written is read, a record that is cut off is not", "[events]") {
  const auto bytes = all_kinds();
  const auto whole = read_records(bytes);
  REQUIRE(whole.payloads.size() == 6);
  CHECK(whole.fault.empty());
  std::string again;
  for (const auto payload : whole.payloads) again += record_of(payload);
  CHECK(again == bytes);
  const size_t last = whole.payloads.back().size() + 16;
  for (size_t cut = 1; cut <= last; ++cut) {
    const auto rest = read_records(std::string_view(bytes).substr(0, bytes.size() - cut));
    CHECK(rest.payloads.size() == 5);
    CHECK(rest.fault.empty());
  }
  for (const size_t at : {size_t{0}, size_t{8}, size_t{12}, bytes.size() - 1}) {
    auto damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    const auto rest = read_records(damaged);
    CHECK_THAT(rest.fault, Contains("the checksum of a record"));
    CHECK(rest.payloads.size() == (at == bytes.size() - 1 ? 5 : 0));
  }
}

TEST_CASE("events: steps and tags of what Google's protobuf wrote", "[events]") {
  const auto bytes = read_file(UVIC_GOLDEN_DIR "/formats/tensorboard.events");
  const auto records = read_records(bytes);
  REQUIRE(records.payloads.size() == 6);
  std::vector<EventOutline> events;
  for (const auto payload : records.payloads) events.push_back(read_event(payload, "f"));
  CHECK(events[0].is_version);
  CHECK(events[1].starts_session);
  using Tags = std::vector<std::string>;
  CHECK(events[2].tags == Tags{"loss", "lr"});
  CHECK(events[3].tags == Tags{"grid"});
  CHECK(events[4].tags == Tags{"config"});
  CHECK(events[5].tags == Tags{"_hparams_/session_start_info"});
  for (size_t i = 1; i < events.size(); ++i) CHECK(events[i].at.step == kAt.step);
  for (const auto& event : events) CHECK(event.at.wall_time == kAt.wall_time);
}

TEST_CASE("events: a payload that is no event is refused", "[events]") {
  using std::string;
  for (const auto& payload : {string("\x10"),              // a number is missing
                              string("\x09\x01\x02"),      // a double of two bytes
                              string("\x2a\x05\x0a\x01"),  // longer than the payload
                              string("\x2a\x02\x0a\x05"),  // and inside a summary
                              string("\x13"),              // a group
                              string(11, '\xff')}) {       // a number without end
    CHECK_THROWS_WITH(read_event(payload, "f"), Contains("f: one of its records is not an event"));
  }
}
