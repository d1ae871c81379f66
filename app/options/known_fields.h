// The fields that options were made from.
#pragma once

#include <CLI/CLI.hpp>

#include "base/field.h"

namespace uvic::app::detail {

/// The field that describe() was given for the option; null: none.
const base::Field* field_of(const CLI::Option& option);

}  // namespace uvic::app::detail
