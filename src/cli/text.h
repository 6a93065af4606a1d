// Lines of terminal output as text with tones, so that what is shown is decided apart from whether there is a terminal,
// how wide it is and whether it has colours.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::cli {

enum class Tone { plain, strong, faint, good, bad, warning };

struct Span {
  std::string text;
  Tone tone = Tone::plain;
};

// One line. Widths count characters, each taken as one column; control characters in added text become spaces, since
// names and reasons come from elsewhere.
class Line {
 public:
  Line() = default;
  Line(std::string_view text, Tone tone = Tone::plain) { add(text, tone); }  // NOLINT: a text is a line
  Line(const char* text) { add(text); }                                      // NOLINT: likewise
  Line& add(std::string_view text, Tone tone = Tone::plain);
  Line& right(std::string_view text, size_t width, Tone tone = Tone::plain);  // padded on the left to `width`
  Line& left(std::string_view text, size_t width, Tone tone = Tone::plain);   // padded on the right, cut if longer
  Line& pad_to(size_t column);
  [[nodiscard]] size_t width() const;
  [[nodiscard]] std::string render(bool colour) const;
  // Cut to `width` columns.
  [[nodiscard]] Line cut(size_t width) const;

 private:
  std::vector<Span> spans_;
};
using Lines = std::vector<Line>;

size_t columns_of(std::string_view text);

// Text broken at spaces into lines of at most `width` columns, all but the first indented by `indent`.
Lines wrap(std::string_view text, size_t width, size_t indent, Tone tone = Tone::plain);

// The signs that are drawn with, by what the terminal can show.
struct Signs {
  std::string_view done, failed, current, unknown, bar_full, bar_left, bar_right, bar_empty;
};
const Signs& signs(bool unicode);

}  // namespace godwit::cli
