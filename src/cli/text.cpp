#include "cli/text.h"

#include <algorithm>

namespace godwit::cli {
namespace {

bool starts_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
}

std::string_view tone_code(Tone tone) {
  switch (tone) {
    case Tone::plain:
      return "";
    case Tone::strong:
      return "\x1b[1m";
    case Tone::faint:
      return "\x1b[2m";
    case Tone::good:
      return "\x1b[32m";
    case Tone::bad:
      return "\x1b[31m";
    case Tone::warning:
      return "\x1b[33m";
  }
  return "";
}

// The first `width` characters.
std::string_view head(std::string_view text, size_t width) {
  size_t seen = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (starts_character(text[at]) && seen++ == width) return text.substr(0, at);
  }
  return text;
}

}  // namespace

size_t columns_of(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, starts_character));
}

Line& Line::add(std::string_view text, Tone tone) {
  if (text.empty()) return *this;
  Span span{std::string(text), tone};
  for (char& byte : span.text) {
    if (static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f) byte = ' ';
  }
  spans_.push_back(std::move(span));
  return *this;
}

Line& Line::right(std::string_view text, size_t width, Tone tone) {
  const size_t columns = columns_of(text);
  if (columns < width) add(std::string(width - columns, ' '));
  return add(text, tone);
}

Line& Line::left(std::string_view text, size_t width, Tone tone) {
  const std::string_view shown = head(text, width);
  add(shown, tone);
  const size_t columns = columns_of(shown);
  if (columns < width) add(std::string(width - columns, ' '));
  return *this;
}

Line& Line::pad_to(size_t column) {
  const size_t now = width();
  if (now < column) add(std::string(column - now, ' '));
  return *this;
}

size_t Line::width() const {
  size_t columns = 0;
  for (const Span& span : spans_) columns += columns_of(span.text);
  return columns;
}

std::string Line::render(bool colour) const {
  std::string out;
  for (const Span& span : spans_) {
    const std::string_view code = colour ? tone_code(span.tone) : std::string_view();
    out += code;
    out += span.text;
    if (!code.empty()) out += "\x1b[0m";
  }
  if (!colour) out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

Line Line::cut(size_t width) const {
  Line line;
  for (const Span& span : spans_) {
    line.add(head(span.text, width), span.tone);
    width -= std::min(width, columns_of(span.text));
  }
  return line;
}

Lines wrap(std::string_view text, size_t width, size_t indent, Tone tone) {
  Lines lines;
  std::string line;
  const auto flush = [&] {
    lines.emplace_back(line, tone);
    line.assign(indent, ' ');
  };
  bool empty = true;  // nothing but the indent so far
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find_first_of(" \n", at), text.size());
    const std::string_view word = text.substr(at, end - at);
    at = end + 1;
    if (word.empty()) {
      if (!empty || lines.empty()) line += ' ';  // the caller's own indent and gaps
      continue;
    }
    if (!empty && columns_of(line) + 1 + columns_of(word) > width) {
      flush();
      empty = true;
    }
    if (!empty) line += ' ';
    line += word;
    empty = false;
  }
  if (!empty) lines.emplace_back(line, tone);
  return lines;
}

const Signs& signs(bool unicode) {
  static constexpr Signs fancy{.done = "✓",
                               .failed = "✗",
                               .current = "▸",
                               .unknown = "?",
                               .bar_full = "█",
                               .bar_left = "▌",
                               .bar_right = "▐",
                               .bar_empty = "░"};
  static constexpr Signs ascii{.done = "+",
                               .failed = "x",
                               .current = ">",
                               .unknown = "?",
                               .bar_full = "#",
                               .bar_left = "#",
                               .bar_right = "#",
                               .bar_empty = "."};
  return unicode ? fancy : ascii;
}

}  // namespace godwit::cli
