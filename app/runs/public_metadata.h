// What leaves the machine with exported weights: everything of use, no path.
#pragma once

#include <map>
#include <string>

#include "app/runs/run_config.h"

namespace uvic::app {

/// The config without its paths: data, out, init, those of encoders and of scores.
RunConfig without_paths(RunConfig config);

/// The text with each absolute path ("/home/me/a.pth", "~/a", "C:\a") cut to its last part.
/// Addresses with a scheme (https://...) stay.
std::string without_paths(const std::string& text);

/// Metadata for a file that is passed on. uvic.data, which names the images' place, is left out
/// (uvic.data_fingerprint says what they were), as are keys of an earlier conversion that the
/// caller writes anew; other texts lose their paths.
std::map<std::string, std::string> public_metadata(std::map<std::string, std::string> metadata);

}  // namespace uvic::app
