// The receiving half of the file copy: applies a FileSource's stream to prepared directories, strictly inside of them.
//
// The stream is not trusted: a path that is absolute, has "." or "..", or leads through a symbolic link or into another
// mount is refused (openat2 with RESOLVE_BENEATH, NO_SYMLINKS, NO_XDEV), and so is any record out of place. Nothing is
// synced to disk: until GO the source has it all, after GO a crash of the node loses the container's memory anyway.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "files/root.h"
#include "os/byte_stream.h"

namespace godwit::files {

struct ReceiverOptions {
  uint64_t limit_bytes = UINT64_MAX;            // content accepted in all passes together
  uint32_t entries_max = 1'000'000;             // records for files and directories in one pass
  size_t present_files_max = kPresentFilesMax;  // told to the source for quick checks; what is beyond is sent again
};

struct AppliedPass {
  uint32_t pass = 0;
  bool final = false;
  uint64_t entries = 0;
  uint64_t removed = 0;
  uint64_t bytes = 0;  // of content
  double seconds = 0;  // from its first record
};

// Owned by a destination worker; one thread calls it and blocks in the stream's waits.
class FileReceiver {
 public:
  // Errors: a root that cannot be opened, equal ids.
  static Result<std::unique_ptr<FileReceiver>> open(const std::vector<DestinationRoot>& roots,
                                                    const ReceiverOptions& options, os::ByteStream& stream);
  virtual ~FileReceiver() = default;

  // Applies one pass and acknowledges it. Call it until `final`. Errors (also told to the source): disk full, a refused
  // path, a malformed stream, each naming the path; after one the receiver is unusable and the stream to be closed.
  virtual Result<AppliedPass> receive_pass() = 0;
};

}  // namespace godwit::files
