#include "cli/screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "os/file.h"

namespace godwit::cli {
namespace {

constexpr size_t width_min = 40;
constexpr size_t width_max = 200;

size_t terminal_width(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return std::clamp<size_t>(size.ws_col, width_min, width_max);
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool utf8_locale() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string value = environment(name);
    if (value.empty()) continue;
    return value.find("UTF-8") != std::string::npos || value.find("utf8") != std::string::npos ||
           value.find("utf-8") != std::string::npos;
  }
  return false;
}

}  // namespace

Look detect_look(int fd) {
  Look look;
  look.unicode = utf8_locale();
  if (::isatty(fd) == 0) return look;
  const std::string term = environment("TERM");
  look.live = !term.empty() && term != "dumb";
  look.colour = look.live && environment("NO_COLOR").empty();
  look.width = terminal_width(fd);
  return look;
}

void Screen::update_width() {
  if (look_.live) look_.width = terminal_width(fd_);
}

void Screen::set_live(const Lines& lines) {
  if (look_.live) draw({}, lines);
}

void Screen::draw(const Lines& finished, const Lines& live) {
  std::string below;
  if (look_.live) {
    for (const Line& line : live) below += line.cut(look_.width - 1).render(look_.colour) + "\x1b[K\n";
  }
  if (finished.empty() && below == live_text_) return;
  std::string out;
  const size_t rows = rows_of_live();
  if (rows > 0) out += "\x1b[" + std::to_string(rows) + "A\r";
  for (const Line& line : finished) {
    out += line.render(look_.colour);
    out += look_.live ? "\x1b[K\n" : "\n";
  }
  out += below;
  if (look_.live && rows > 0) out += "\x1b[J";
  write_out(out);
  live_ = look_.live ? live : Lines();
  live_width_ = look_.width - 1;
  live_text_ = std::move(below);
}

// Rows that the live lines take now: a terminal made narrower since has broken them.
size_t Screen::rows_of_live() const {
  size_t rows = 0;
  for (const Line& line : live_) {
    const size_t columns = std::clamp<size_t>(line.width(), 1, live_width_);
    rows += (columns + look_.width - 1) / look_.width;
  }
  return rows;
}

void Screen::write_out(const std::string& text) {
  // Output that cannot be written (a closed pipe) must not stop a migration or lose its verdict in the exit status.
  [[maybe_unused]] const Result<> written = os::write_all(fd_, text.data(), text.size());
}

}  // namespace godwit::cli
