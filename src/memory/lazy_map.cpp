#include "memory/lazy_map.h"

#include <algorithm>
#include <utility>

#include "memory/page_sink.h"

namespace godwit::memory {
namespace {

constexpr size_t echoes_max = 256;

ChunkPages bits_between(uint64_t first, uint64_t last) {
  ChunkPages set;
  if (first >= last) return set;
  set.set();
  set >>= set.size() - (last - first);
  return set << first;
}

uint64_t pages_of(uint64_t bytes) {
  return bytes / page_size_bytes;
}

// The piece that holds `address`, or else the first one behind it.
template <typename Pieces>
auto piece_at(Pieces& pieces, uint64_t address) {
  auto it = pieces.upper_bound(address);
  if (it == pieces.begin()) return it;
  const auto before = std::prev(it);
  return address < before->first + before->second.pages * page_size_bytes ? before : it;
}

}  // namespace

// --- pieces ---

LazyMap::Piece LazyMap::part(const Piece& piece, uint64_t first, uint64_t pages) {
  Piece result;
  result.pages = pages;
  result.source = piece.source + first * page_size_bytes;
  result.wipe_on_fork = piece.wipe_on_fork;
  if (piece.pending == 0) return result;
  result.bits = (piece.bits >> first) & bits_between(0, pages);
  result.pending = static_cast<uint32_t>(result.bits.count());
  return result;
}

// Takes what lies in [start, end) out of `from`, dividing pieces at the edges.
LazyMap::Pieces LazyMap::cut(Pieces& from, uint64_t start, uint64_t end) {
  Pieces taken;
  auto it = piece_at(from, start);
  while (it != from.end() && it->first < end) {
    const uint64_t piece_start = it->first;
    const Piece piece = it->second;
    const uint64_t piece_end = piece_start + piece.pages * page_size_bytes;
    const uint64_t low = std::max(start, piece_start);
    const uint64_t high = std::min(end, piece_end);
    it = from.erase(it);
    if (piece_start < low) from.emplace(piece_start, part(piece, 0, pages_of(low - piece_start)));
    if (high < piece_end) from.emplace(high, part(piece, pages_of(high - piece_start), pages_of(piece_end - high)));
    taken.emplace(low, part(piece, pages_of(low - piece_start), pages_of(high - low)));
  }
  return taken;
}

void LazyMap::put_live(uint64_t start, const Piece& piece) {
  live_.emplace(start, piece);
  pending_ += piece.pending;
  moved_ = moved_ || piece.source != start;
}

void LazyMap::forget(const Pieces& pieces) {
  for (const auto& [start, piece] : pieces) {
    if (piece.pending > 0) drained_.push_back({piece.source, piece.pages});
  }
}

// --- what is to be placed ---

void LazyMap::add(uint64_t start, const ChunkPages& pages) {
  put_live(start,
           {.pages = pages.size(), .source = start, .pending = static_cast<uint32_t>(pages.count()), .bits = pages});
}

void LazyMap::confine(std::span<const LazyRange> ranges) {
  Pieces before = std::exchange(live_, {});
  pending_ = 0;
  for (const LazyRange& range : ranges) {
    uint64_t reached = range.start;
    const auto fill = [&](uint64_t to) {
      if (reached == to) return;
      Piece piece;
      piece.pages = pages_of(to - reached);
      piece.source = reached;
      piece.wipe_on_fork = range.wipe_on_fork;
      put_live(reached, piece);
    };
    for (auto& [start, piece] : cut(before, range.start, range.end)) {
      fill(start);
      piece.wipe_on_fork = range.wipe_on_fork;
      put_live(start, piece);
      reached = start + piece.pages * page_size_bytes;
    }
    fill(range.end);
  }
}

std::optional<LazyMap::Run> LazyMap::next(uint64_t address, uint64_t pages_max) const {
  for (auto it = piece_at(live_, address); it != live_.end(); ++it) {
    const auto& [start, piece] = *it;
    if (piece.pending == 0) continue;
    uint64_t page = address > start ? pages_of(address - start) : 0;
    while (page < piece.pages && !piece.bits[page]) ++page;
    if (page == piece.pages) continue;
    uint64_t end = page + 1;
    while (end < piece.pages && end - page < pages_max && piece.bits[end]) ++end;
    return Run{start + page * page_size_bytes, piece.source + page * page_size_bytes, end - page};
  }
  return std::nullopt;
}

std::optional<LazyMap::Run> LazyMap::around(uint64_t address, uint64_t window_bytes) const {
  const auto it = piece_at(live_, address);
  if (it == live_.end() || it->first > address || it->second.pending == 0) return std::nullopt;
  const auto& [start, piece] = *it;
  const uint64_t page = pages_of(address - start);
  if (!piece.bits[page]) return std::nullopt;
  const uint64_t window_start = address / window_bytes * window_bytes;
  const uint64_t low = window_start > start ? pages_of(window_start - start) : 0;
  const uint64_t high = std::min(piece.pages, pages_of(window_start + window_bytes - start));
  uint64_t first = page;
  while (first > low && piece.bits[first - 1]) --first;
  uint64_t end = page + 1;
  while (end < high && piece.bits[end]) ++end;
  return Run{start + first * page_size_bytes, piece.source + first * page_size_bytes, end - first};
}

uint64_t LazyMap::stretch_end(uint64_t address) const {
  const auto it = piece_at(live_, address);
  if (it == live_.end() || it->first > address) return address + page_size_bytes;
  return it->first + it->second.pages * page_size_bytes;
}

void LazyMap::placed(uint64_t address, uint64_t pages) {
  const auto it = piece_at(live_, address);
  if (pages == 0 || it == live_.end() || it->first > address || it->second.pending == 0) return;
  take_off(it->first, it->second, address, address + pages * page_size_bytes);
}

// [low, high) of a piece is pending no longer.
void LazyMap::take_off(uint64_t start, Piece& piece, uint64_t low, uint64_t high) {
  piece.bits &= ~bits_between(pages_of(low - start), std::min(pages_of(high - start), piece.pages));
  const auto left = static_cast<uint32_t>(piece.bits.count());
  pending_ -= piece.pending - left;
  piece.pending = left;
  if (left == 0) drained_.push_back({piece.source, piece.pages});
}

void LazyMap::clear() {
  forget(live_);
  forget(displaced_);
  live_.clear();
  displaced_.clear();
  vacated_.clear();
  pending_ = 0;
}

std::vector<LazyRange> LazyMap::ranges() const {
  std::vector<LazyRange> all;
  for (const auto& [start, piece] : live_) {
    const uint64_t end = start + piece.pages * page_size_bytes;
    if (!all.empty() && all.back().end == start && all.back().wipe_on_fork == piece.wipe_on_fork) {
      all.back().end = end;
    } else {
      all.push_back({start, end, piece.wipe_on_fork});
    }
  }
  return all;
}

// --- what the process does ---

// What an event says has gone from [start, end): what was set aside for that, or else what is there.
LazyMap::Pieces LazyMap::vacate(uint64_t start, uint64_t end) {
  Pieces gone = cut(displaced_, start, end);
  Pieces from_live;
  uint64_t reached = start;
  for (const auto& [at, piece] : gone) {
    from_live.merge(cut(live_, reached, at));
    reached = at + piece.pages * page_size_bytes;
  }
  from_live.merge(cut(live_, reached, end));
  gone.merge(from_live);
  for (const auto& [at, piece] : gone) {
    pending_ -= piece.pending;
    if (piece.pending == 0) continue;
    cut(vacated_, at, at + piece.pages * page_size_bytes);
    vacated_.emplace(at, piece);
  }
  return gone;
}

void LazyMap::removed(uint64_t start, uint64_t end) {
  for (auto it = piece_at(live_, start); it != live_.end() && it->first < end; ++it) {
    const uint64_t piece_end = it->first + it->second.pages * page_size_bytes;
    const uint64_t low = std::max(start, it->first);
    if (it->second.pending > 0) take_off(it->first, it->second, low, std::min(end, piece_end));
  }
}

void LazyMap::unmapped(uint64_t start, uint64_t end) {
  const auto echo = std::ranges::find(echoes_, Echo{start, end});
  if (echo != echoes_.end()) {
    echoes_.erase(echo);
    return;
  }
  forget(vacate(start, end));
}

void LazyMap::remapped(uint64_t from, uint64_t to, uint64_t bytes) {
  const Pieces moved = vacate(from, from + bytes);
  // What was set aside there before never got its event, so it was wrong.
  const Pieces obsolete = cut(displaced_, to, to + bytes);
  for (const auto& [at, piece] : obsolete) pending_ -= piece.pending;
  forget(obsolete);
  displaced_.merge(cut(live_, to, to + bytes));
  for (const auto& [at, piece] : moved) put_live(at - from + to, piece);
  // MREMAP_DONTUNMAP makes no echo; a limit, should nothing ever be placed.
  if (echoes_.size() == echoes_max) echoes_.erase(echoes_.begin());
  echoes_.push_back({from, from + bytes});
}

LazyMap LazyMap::forked() const {
  LazyMap child;
  for (const auto& [start, piece] : live_) {
    Piece copy = piece;
    if (copy.wipe_on_fork) copy.pending = 0;
    if (!child.live_.empty() && copy.pending == 0) {
      auto& [last_start, last] = *std::prev(child.live_.end());
      const bool adjacent = last_start + last.pages * page_size_bytes == start;
      if (adjacent && last.pending == 0 && last.wipe_on_fork == copy.wipe_on_fork) {
        last.pages += copy.pages;
        continue;
      }
    }
    child.put_live(start, copy);
  }
  Pieces vacated = vacated_;
  for (const auto& [start, piece] : live_) cut(vacated, start, start + piece.pages * page_size_bytes);
  for (const auto& [start, piece] : vacated) {
    if (!piece.wipe_on_fork) child.put_live(start, piece);
  }
  return child;
}

void LazyMap::settled() {
  for (const auto& [start, piece] : displaced_) pending_ -= piece.pending;
  forget(displaced_);
  displaced_.clear();
  echoes_.clear();
}

// --- what the store may give up ---

void LazyMap::collect_needed(const Pieces& pieces, uint64_t source, uint64_t pages, ChunkPages& found) {
  const uint64_t source_end = source + pages * page_size_bytes;
  for (const auto& [start, piece] : pieces) {
    if (piece.pending == 0 || piece.source >= source_end) continue;
    if (piece.source + piece.pages * page_size_bytes <= source) continue;
    if (piece.source >= source) {
      found |= piece.bits << pages_of(piece.source - source);
    } else {
      found |= piece.bits >> pages_of(source - piece.source);
    }
  }
}

ChunkPages LazyMap::needed(uint64_t source, uint64_t pages) const {
  ChunkPages found;
  collect_needed(displaced_, source, pages, found);
  if (moved_) {
    collect_needed(live_, source, pages, found);
    return found & bits_between(0, pages);
  }
  const uint64_t source_end = source + pages * page_size_bytes;
  for (auto it = piece_at(live_, source); it != live_.end() && it->first < source_end; ++it) {
    collect_needed({*it}, source, pages, found);
  }
  return found & bits_between(0, pages);
}

std::vector<SourceRange> LazyMap::take_drained() {
  return std::exchange(drained_, {});
}

}  // namespace godwit::memory
