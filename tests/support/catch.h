// Catch2 2 (Debian 12) and 3 (Debian 13) under one include.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>

#include <string>
#include <utility>

// Catch2 3 calls it ContainsSubstring, and its Contains is of ranges; of a text, these are
// preferred.
namespace Catch {
namespace Matchers {
inline auto Contains(std::string text) { return ContainsSubstring(std::move(text)); }
inline auto Contains(const char* text) { return ContainsSubstring(text); }
}  // namespace Matchers
using Matchers::Contains;
}  // namespace Catch
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif

namespace uvic::test {
#if defined(CATCH_VERSION_MAJOR) && CATCH_VERSION_MAJOR >= 3
template <class T>
using MatcherBase = Catch::Matchers::MatcherBase<T>;
#else
template <class T>
using MatcherBase = Catch::MatcherBase<T>;
#endif
}  // namespace uvic::test
