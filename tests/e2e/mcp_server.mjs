// An MCP server with a login, all of the official SDK's: its authorization server (discovery,
// registration, PKCE), its check of tokens and its transport. usage: mcp_server.mjs PKI-DIRECTORY
import express from 'express';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { DemoInMemoryAuthProvider } from '@modelcontextprotocol/sdk/examples/server/demoInMemoryOAuthProvider.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { getOAuthProtectedResourceMetadataUrl, mcpAuthRouter } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';

const resource = new URL('https://mcp.example.test/mcp');
const provider = new DemoInMemoryAuthProvider((asked) => asked?.href === resource.href);
const app = express();
app.use(express.json());
app.use(mcpAuthRouter({
  provider,
  issuerUrl: new URL('https://auth.example.test'),
  resourceServerUrl: resource,
  scopesSupported: ['notes:read'],
}));
app.all('/mcp', requireBearerAuth({
  verifier: provider,
  requiredScopes: ['notes:read'],
  resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(resource),
}), async (request, response) => {
  const server = new McpServer({ name: 'notes', version: '1' });
  server.tool('whose', async () => ({ content: [{ type: 'text', text: `of ${request.auth.scopes}` }] }));
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  await server.connect(transport);
  await transport.handleRequest(request, response, request.body);
});
const pki = process.argv[2];
const read = (name) => fs.readFileSync(path.join(pki, name));
const listening = https.createServer({ cert: read('origin.crt'), key: read('origin.key') }, app);
listening.listen(0, '127.0.0.1', () => console.log(listening.address().port));
