#include "plugin/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "os/file.h"

namespace godwit::plugin {
namespace {

std::unexpected<Error> fail_archive(const std::string& path, ::archive* handle) {
  const char* text = ::archive_error_string(handle);
  return fail("{}: {}", path, text == nullptr ? "it cannot be written" : text);
}

}  // namespace

void ArchiveWriter::Free::operator()(::archive* handle) const {
  ::archive_write_free(handle);
}

Result<ArchiveWriter> ArchiveWriter::create(const std::string& path) {
  if (os::exists(path)) return fail("{} is there already: name another file", path);
  const std::string part = path + ".part";
  GODWIT_ASSIGN(UniqueFd fd, os::open_file(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  std::unique_ptr<::archive, Free> handle(::archive_write_new());
  GODWIT_CHECK(handle != nullptr);
  if (::archive_write_add_filter_gzip(handle.get()) != ARCHIVE_OK ||
      ::archive_write_set_format_pax_restricted(handle.get()) != ARCHIVE_OK ||
      ::archive_write_open_fd(handle.get(), fd.get()) != ARCHIVE_OK) {
    const auto failed = fail_archive(path, handle.get());
    ::unlink(part.c_str());
    return failed;
  }
  return ArchiveWriter(path, std::move(fd), std::move(handle));
}

ArchiveWriter::~ArchiveWriter() {
  if (handle_ != nullptr) ::unlink(part_path().c_str());
}

Result<> ArchiveWriter::add(const std::string& name, std::string_view contents, kube::WallTime when) {
  const std::unique_ptr<::archive_entry, void (*)(::archive_entry*)> entry(::archive_entry_new(), ::archive_entry_free);
  GODWIT_CHECK(entry != nullptr);
  ::archive_entry_set_pathname(entry.get(), name.c_str());
  ::archive_entry_set_size(entry.get(), static_cast<la_int64_t>(contents.size()));
  ::archive_entry_set_filetype(entry.get(), AE_IFREG);
  ::archive_entry_set_perm(entry.get(), 0644);
  ::archive_entry_set_mtime(entry.get(), std::chrono::system_clock::to_time_t(when), 0);
  if (::archive_write_header(handle_.get(), entry.get()) != ARCHIVE_OK) return fail_archive(path_, handle_.get());
  const la_ssize_t written = ::archive_write_data(handle_.get(), contents.data(), contents.size());
  if (written != static_cast<la_ssize_t>(contents.size())) return fail_archive(path_, handle_.get());
  return {};
}

Result<> ArchiveWriter::finish() {
  if (::archive_write_close(handle_.get()) != ARCHIVE_OK) return fail_archive(path_, handle_.get());
  if (::fsync(fd_.get()) != 0) return fail_errno("{}", path_);
  // Not over a file that somebody has put there meanwhile.
  if (::renameat2(AT_FDCWD, part_path().c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) != 0) {
    return fail_errno("{}", path_);
  }
  handle_.reset();
  return {};
}

}  // namespace godwit::plugin
