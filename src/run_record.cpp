#include "run_record.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/clock.h"
#include "core/fd.h"
#include "core/text.h"
#include "grant.h"
#include "runs.h"
#include "store/record.h"
#include "store/vault.h"

namespace moat {
namespace {

// Values of these are never kept, on top of the headers that providers know as credentials.
const std::vector<std::string> private_headers = {"cookie", "set-cookie"};

void remove_directory(const std::string& directory) {
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
}

}  // namespace

RunRecord::RunRecord(std::string directory, Fd lock, SigningKey key)
    : directory_(std::move(directory)), lock_(std::move(lock)), key_(std::move(key)) {}

Result<std::unique_ptr<RunRecord>> RunRecord::create(Loop& loop, const Home& home,
                                                     const std::string& id,
                                                     std::function<void(const Error&)> on_broken) {
  if (mkdir(home.runs().c_str(), 0700) != 0 && errno != EEXIST)
    return errno_error("cannot make %s", home.runs().c_str());
  const std::string directory = home.run(id);
  if (mkdir(directory.c_str(), 0700) != 0) return errno_error("cannot make %s", directory.c_str());
  const auto failed = [&directory](const Error& error) {
    remove_directory(directory);
    return error;
  };
  if (auto synced = sync_directory(home.runs()); !synced) return failed(synced.error());
  auto lock = lock_run(directory);
  if (!lock) return failed(lock.error());
  auto key = store::open_signing_key(home.root);
  if (!key) return failed(key.error());
  std::unique_ptr<RunRecord> record(new RunRecord(directory, std::move(*lock), std::move(*key)));
  auto writer = store::RecordWriter::create(directory, id, record->key_);
  if (!writer) return failed(writer.error());
  record->recorder_ =
      std::make_unique<Recorder>(loop, system_clock(), std::move(*writer), std::move(on_broken));
  auto redacted = private_headers;
  for (const auto& name : credential_headers()) redacted.push_back(lower(name));
  record->recorder_->redact_headers(redacted);
  return record;
}

void RunRecord::forget() {
  recorder_.reset();
  remove_directory(directory_);
}

}  // namespace moat
