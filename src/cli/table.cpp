#include "cli/table.h"

#include <algorithm>

#include "base/result.h"

namespace godwit::cli {

Lines render_table(const std::vector<Column>& columns, const std::vector<std::vector<std::string>>& rows,
                   size_t indent) {
  std::vector<size_t> widths;
  for (const Column& column : columns) widths.push_back(columns_of(column.title));
  for (const auto& row : rows) {
    GODWIT_CHECK(row.size() == columns.size());
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns_of(row[i]));
  }
  const auto line_of = [&](auto cell, Tone tone) {
    Line line{std::string(indent, ' ')};
    for (size_t i = 0; i < columns.size(); ++i) {
      if (i > 0) line.add("  ");
      if (columns[i].align == Align::right) {
        line.right(cell(i), widths[i], tone);
      } else if (i + 1 < columns.size()) {
        line.left(cell(i), widths[i], tone);
      } else {
        line.add(cell(i), tone);
      }
    }
    return line;
  };
  Lines lines{line_of([&](size_t i) { return columns[i].title; }, Tone::faint)};
  for (const auto& row : rows) lines.push_back(line_of([&](size_t i) { return row[i]; }, Tone::plain));
  return lines;
}

}  // namespace godwit::cli
