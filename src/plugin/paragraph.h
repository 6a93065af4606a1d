// Text of several words on the screen: broken into lines on a terminal; elsewhere one line each, for grep and logs.
#pragma once

#include <cstddef>
#include <string_view>

#include "cli/screen.h"
#include "cli/text.h"

namespace godwit::plugin {

// Appends it to `lines`; lines after the first are indented by `indent`.
inline void add_paragraph(cli::Lines& lines, std::string_view text, size_t indent, const cli::Look& look,
                          cli::Tone tone = cli::Tone::plain) {
  const size_t width = look.live ? look.width - 1 : SIZE_MAX;
  for (cli::Line& line : cli::wrap(text, width, indent, tone)) lines.push_back(std::move(line));
}

}  // namespace godwit::plugin
