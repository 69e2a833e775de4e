// moat grant providers: the services whose credentials moat knows.
#include "command.h"
#include "core/text.h"
#include "grant.h"
#include "print.h"

namespace moat {
namespace {

std::string describe(const TokenSource& source) {
  std::string text;
  switch (source.kind) {
    case TokenSource::Kind::variable:
    case TokenSource::Kind::file:
      return source.text;
    case TokenSource::Kind::command:
      for (const std::string& word : source.command) text += (text.empty() ? "" : " ") + word;
      return text;
    case TokenSource::Kind::prompt:
      break;
  }
  return "terminal";
}

// As it is for the public service.
Json to_json(const Provider& provider) {
  const ProviderSite& site = *site_for(provider, provider.host);
  Json hosts = Json::array();
  Json sources = Json::array();
  Json env = Json::array();
  Json files = Json::array();
  for (const ProviderHost& host : site.hosts) hosts.add(for_host(host.host, provider.host));
  for (const TokenSource& source : site.sources)
    sources.add(for_host(describe(source), provider.host));
  for (const auto& [name, text] : site.env) env.add(name);
  for (const auto& [path, text] : site.files) files.add(path);
  Json json = Json::object();
  json.set("name", provider.name)
      .set("title", provider.title)
      .set("host", provider.host)
      .set("hosts", std::move(hosts))
      .set("sources", std::move(sources))
      .set("device_flow", provider.device.has_value())
      .set("browser_login", provider.code.has_value())
      .set("env", std::move(env))
      .set("files", std::move(files))
      .set("where", provider.where);
  return json;
}

// What a file cannot say: credentials that sign, and those of which a person says where they
// belong.
struct WithoutFile {
  const char* name;
  const char* title;
  const char* host;
};
constexpr WithoutFile without_file[] = {
    {"aws", "AWS, and what speaks S3", "amazonaws.com"},
    {"ssh:HOST", "SSH, by an agent", "HOST"},
    {"oauth:NAME", "MCP servers with a login", "of --url"},
    {"mcp:NAME", "MCP servers with a token", "of --url"},
};

}  // namespace

int cmd_grant_providers(const Arguments& arguments) {
  const auto home = home_path();
  if (!home) return complain(home.error());
  if (auto loaded = load_providers(*home); !loaded) return complain(loaded.error());
  Output out;
  if (arguments.has("json")) {
    for (const Provider& provider : providers()) out.line(to_json(provider).text());
    for (const auto& [name, title, host] : without_file) {
      Json json = Json::object();
      json.set("name", name).set("title", title).set("host", host).set("where", "moat itself");
      out.line(json.text());
    }
    return out.finish(exit_ok);
  }
  Table table({"NAME", "SERVICE", "HOST", "FROM"});
  for (const Provider& provider : providers())
    table.add({provider.name, provider.title, provider.host, provider.where});
  for (const auto& [name, title, host] : without_file)
    table.add({name, title, host, "moat itself"});
  out.write(table.text());
  return out.finish(exit_ok);
}

}  // namespace moat
