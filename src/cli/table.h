// Plain tables of the listing verbs: columns as wide as their widest cell.
#pragma once

#include <string>
#include <vector>

#include "cli/text.h"

namespace godwit::cli {

enum class Align { left, right };
struct Column {
  std::string title;
  Align align = Align::left;
};

// Each row has as many cells as there are columns.
Lines render_table(const std::vector<Column>& columns, const std::vector<std::vector<std::string>>& rows,
                   size_t indent = 0);

}  // namespace godwit::cli
