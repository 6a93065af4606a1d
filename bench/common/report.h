// What every benchmark does with its figures: medians over repeats, a table, a JSON file.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace godwit::bench {

// The middle one; of an even number the mean of the two. `values` is not empty.
double median(std::vector<double> values);

// {"median": ..., "min": ..., "max": ...}
nlohmann::json summary(const std::vector<double>& values);

// Prints rows under the first one, a title; the first column is left-aligned, the others right-aligned.
void print_table(const std::vector<std::vector<std::string>>& rows);

// `path` empty: does nothing.
Result<> write_json(const std::string& path, const nlohmann::json& figures);

}  // namespace godwit::bench
