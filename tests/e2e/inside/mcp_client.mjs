// An MCP client of the official SDK's that knows the URL and no token: calls a tool of the server's.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const client = new Client({ name: 'inside', version: '1' });
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
const { content } = await client.callTool({ name: 'whose', arguments: {} });
console.log(content[0].text);
await client.close();
