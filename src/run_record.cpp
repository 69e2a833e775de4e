#include "run_record.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "aws_grant.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/text.h"
#include "grant.h"
#include "print.h"
#include "proxy_choice.h"
#include "runs.h"
#include "store/record.h"
#include "vault_access.h"

namespace moat {
namespace {

void remove_directory(const std::string& directory) {
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
}

}  // namespace

RunRecord::RunRecord(Loop& loop, std::string id, std::string directory, Fd lock, SigningKey key)
    : loop_(loop),
      id_(std::move(id)),
      directory_(std::move(directory)),
      lock_(std::move(lock)),
      key_(std::move(key)) {}

Result<std::unique_ptr<RunRecord>> RunRecord::create(Loop& loop, const Home& home,
                                                     const std::string& id,
                                                     std::function<void(const Error&)> on_broken) {
  auto user = user_config(home.root);
  if (!user) return user.error();
  // Also those that this run was not granted: the agent may come by them in other ways.
  const auto held = held_secrets(home);
  if (!held) return held.error();
  for (const Error& closed : held->closed)
    log(Level::warning, "%s (until then this secret is not looked for in what is recorded)",
        closed.message.c_str());
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
  std::unique_ptr<RunRecord> record(
      new RunRecord(loop, id, directory, std::move(*lock), std::move(*key)));
  record->settings_ = std::move(user->audit);
  auto writer = store::RecordWriter::create(directory, id, record->key_);
  if (!writer) return failed(writer.error());
  record->recorder_ =
      std::make_unique<Recorder>(loop, system_clock(), std::move(*writer), std::move(on_broken));
  record->recorder_->redact_headers(credential_headers());
  record->recorder_->keep_out(held->secrets);
  // Of what is kept as an object, each secret by itself.
  for (const Secret& secret : held->secrets) record->recorder_->keep_out(aws_secrets_in(secret));
  return record;
}

void RunRecord::anchor(const Config& config) {
  anchors_ = std::make_unique<Anchors>(loop_, id_, [this](const auto& anchor, const auto& reason) {
    recorder_->anchor_failed(anchor, reason);
  });
  add_anchors(*anchors_, loop_, settings_,
              environment_of_proxy(config.upstream_proxy, config.no_proxy),
              [this](uint64_t size, std::string_view der) { recorder_->timestamp(size, der); });
  recorder_->on_signed([this](const store::SignedHead& head) { anchors_->on_head(head); });
}

Result<void> RunRecord::finish(const std::function<void()>& done) {
  std::optional<store::SignedHead> last;
  recorder_->on_signed([&last](const store::SignedHead& head) { last = head; });
  const auto head = recorder_->finish();
  recorder_->on_signed(nullptr);
  // What has come meanwhile, such as a time stamp, is late but not lost.
  const auto settled = [this, done] {
    (void)recorder_->commit();
    done();
  };
  if (head) last_head_ = *head;
  if (head && last && anchors_) {
    anchors_->finish(*last, settled);
  } else {
    loop_.defer(settled);
  }
  return head ? Result<void>() : head.error();
}

void tell_root(const std::string& id, const store::TreeHead& head, bool mid_line) {
  if (is_terminal(STDERR_FILENO)) return;
  if (mid_line) (void)write_all(STDERR_FILENO, "\n");
  log(Level::info, "record of run %s: %llu records, root %s ('moat audit %s' verifies it)",
      id.c_str(), static_cast<unsigned long long>(head.size), hex(view(head.root)).c_str(),
      id.c_str());
}

void RunRecord::forget() {
  anchors_.reset();
  recorder_.reset();
  remove_directory(directory_);
}

}  // namespace moat
