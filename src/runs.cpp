#include "runs.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/crypto.h"
#include "core/handle.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr size_t id_digits = 12;

bool is_id(std::string_view text) {
  return text.size() == id_digits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::vector<std::string> strings(const Json::View& list) {
  std::vector<std::string> all;
  for (const auto& item : list.elements()) all.push_back(item.string());
  return all;
}

Error no_such_run(const std::string& selector, const std::vector<RunEntry>& runs) {
  if (runs.empty()) return error(Errc::not_found, "there is no run yet; start one with 'moat run'");
  const std::string shown = printable(selector);
  std::vector<std::string_view> names;
  names.reserve(runs.size());
  for (const RunEntry& run : runs) names.emplace_back(run.facts.name);
  if (const auto near = nearest(selector, names))
    return error(Errc::not_found, "there is no run '%s', did you mean '%s'?", shown.c_str(),
                 printable(*near).c_str());
  return error(Errc::not_found, "there is no run '%s'; 'moat list' shows those there are",
               shown.c_str());
}

Error ambiguous(const std::string& prefix, const std::vector<const RunEntry*>& fits) {
  constexpr size_t shown = 5;
  std::string ids;
  for (size_t i = 0; i < fits.size() && i < shown; ++i)
    ids += (i > 0 ? ", " : "") + fits[i]->facts.id;
  if (fits.size() > shown) ids += ", …";
  return error(Errc::invalid, "'%s' may be any of %zu runs (%s); give more digits", prefix.c_str(),
               fits.size(), ids.c_str());
}

}  // namespace

Result<std::vector<std::string>> run_ids(const Home& home) {
  std::vector<std::string> ids;
  const Handle<DIR, closedir> directory(opendir(home.runs().c_str()));
  if (!directory) {
    if (errno == ENOENT) return ids;
    return errno_error("cannot read %s", home.runs().c_str());
  }
  while (const dirent* entry = readdir(directory.get())) {
    if (is_id(entry->d_name)) ids.emplace_back(entry->d_name);
  }
  return ids;
}

Json RunFacts::to_json() const {
  Json json = Json::object();
  json.set("id", id)
      .set("name", name)
      .set("state", state)
      .set("engine", engine)
      .set("image", image)
      .set("workspace", workspace)
      .set("command", command)
      .set("grants", grants)
      .set("created_ns", created_ns)
      .set("started_ns", started_ns)
      .set("ended_ns", ended_ns)
      .set("exit_status", exit_status)
      .set("pid", pid);
  return json;
}

RunFacts RunFacts::from_json(const Json::View& json) {
  RunFacts facts;
  facts.id = json["id"].string();
  facts.name = json["name"].string();
  facts.state = json["state"].string();
  facts.engine = json["engine"].string();
  facts.image = json["image"].string();
  facts.workspace = json["workspace"].string();
  facts.command = strings(json["command"]);
  facts.grants = strings(json["grants"]);
  facts.created_ns = json["created_ns"].integer();
  facts.started_ns = json["started_ns"].integer();
  facts.ended_ns = json["ended_ns"].integer();
  facts.exit_status = static_cast<int>(json["exit_status"].integer(-1));
  facts.pid = static_cast<int>(json["pid"].integer());
  return facts;
}

std::string RunEntry::state() const {
  if (facts.state == "ended" || facts.state == "lost") return facts.state;
  return alive ? facts.state : "lost";
}

std::string new_run_id() {
  return hex(random_bytes(id_digits / 2));
}

Result<RunEntry> read_run(const Home& home, const std::string& id) {
  RunEntry entry;
  entry.directory = home.run(id);
  // The lock first: a run that ends in between is then seen alive and ended, never lost.
  entry.alive = is_run_alive(entry.directory);
  auto reader = store::RecordReader::open(entry.directory);
  if (!reader) return reader.error();
  auto facts = (*reader)->meta("run");
  if (!facts) return facts.error();
  if (!*facts)
    return error(Errc::not_found, "the record of run %s says nothing of the run", id.c_str());
  entry.facts = RunFacts::from_json((*facts)->view());
  entry.facts.id = id;  // the directory's word, not the record's
  return entry;
}

Result<std::vector<RunEntry>> list_runs(const Home& home) {
  const auto ids = run_ids(home);
  if (!ids) return ids.error();
  std::vector<RunEntry> runs;
  for (const std::string& id : *ids) {
    auto entry = read_run(home, id);
    if (entry) runs.push_back(std::move(*entry));
  }
  std::sort(runs.begin(), runs.end(), [](const RunEntry& a, const RunEntry& b) {
    return std::pair(b.facts.created_ns, std::string_view(b.facts.id)) <
           std::pair(a.facts.created_ns, std::string_view(a.facts.id));
  });
  return runs;
}

Result<RunEntry> find_run(const Home& home, const std::string& selector) {
  if (is_id(selector) && access(home.run(selector).c_str(), F_OK) == 0)
    return read_run(home, selector);
  auto runs = list_runs(home);
  if (!runs) return runs.error();
  if (selector.empty()) {
    if (runs->empty()) return no_such_run(selector, *runs);
    return std::move(runs->front());
  }
  for (RunEntry& run : *runs) {
    if (run.facts.name == selector) return std::move(run);
  }
  std::vector<const RunEntry*> fits;
  for (const RunEntry& run : *runs) {
    if (run.facts.id.starts_with(selector)) fits.push_back(&run);
  }
  if (fits.empty()) return no_such_run(selector, *runs);
  if (fits.size() > 1) return ambiguous(selector, fits);
  return *fits.front();
}

bool is_run_alive(const std::string& directory) {
  const Fd fd(open((directory + "/lock").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return false;
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return fcntl(fd.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

Result<Fd> lock_run(const std::string& directory) {
  const std::string path = directory + "/lock";
  Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return errno_error("cannot open %s", path.c_str());
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (fcntl(fd.get(), F_OFD_SETLK, &lock) == 0) return fd;
  if (errno == EAGAIN || errno == EACCES)
    return error(Errc::busy, "the run in %s has a supervisor, which is still running",
                 directory.c_str());
  return errno_error("cannot lock %s", path.c_str());
}

}  // namespace moat
