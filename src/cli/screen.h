// Standard output as the command line uses it: finished lines that stay, and below them a few live lines that are
// redrawn in place. Finished lines are printed once and scroll like any other output, so nothing is lost from the
// scrollback; a redraw is one write(2), so it does not flicker.
#pragma once

#include <string>

#include "cli/text.h"

namespace godwit::cli {

// What the output can show.
struct Look {
  bool live = false;     // redraw in place
  bool colour = false;   // see https://no-color.org
  bool unicode = false;  // signs beyond ASCII
  size_t width = 80;     // columns
};

// As standard output and the environment (NO_COLOR, TERM, LC_ALL, LC_CTYPE, LANG) say.
Look detect_look(int fd);

// Owned by the verb that runs; used by one thread. Erases its live lines when destroyed.
class Screen {
 public:
  Screen(int fd, Look look) : fd_(fd), look_(look) {}
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen() { set_live({}); }

  [[nodiscard]] const Look& look() const { return look_; }
  // Takes a change of the terminal's size into account.
  void update_width();
  void print(const Lines& lines) { draw(lines, live_); }
  void print(const Line& line) { print(Lines{line}); }
  // Replaces the live lines. Without a terminal: does nothing.
  void set_live(const Lines& lines);
  // Both in one write: finished lines above, live lines below.
  void draw(const Lines& finished, const Lines& live);

 private:
  [[nodiscard]] size_t rows_of_live() const;
  void write_out(const std::string& text);

  int fd_;
  Look look_;
  Lines live_;
  size_t live_width_ = 0;  // columns that the live lines were cut to
  std::string live_text_;  // as it stands on the terminal
};

}  // namespace godwit::cli
