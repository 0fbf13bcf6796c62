// The official TypeScript client: argv are the directory of its packages, "1" or "2" for its major version, and its
// target, an address or a command, as JSON.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [directory, major, target, mode] = process.argv.slice(2);
const require = createRequire(directory + '/');
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const command = JSON.parse(target);
const CODE = "from PIL import Image\nImage.new('RGB', (9, 9), 'red').save('a.png')\nprint('hi')";

const client1 = '@modelcontextprotocol/sdk/client/';
const { Client } = await load(major === '1' ? client1 + 'index.js' : '@modelcontextprotocol/client');
const http = await load(major === '1' ? client1 + 'streamableHttp.js' : '@modelcontextprotocol/client');
const stdio = await load(major === '1' ? client1 + 'stdio.js' : '@modelcontextprotocol/client/stdio');
const transport = typeof command === 'string'
  ? new http.StreamableHTTPClientTransport(new URL(command))
  : new stdio.StdioClientTransport({
      command: command[0], args: command.slice(1), env: { PYTHONPATH: process.env.SERVER_PYTHONPATH } });

const options = major === '1' ? {} : { versionNegotiation: { mode: mode || 'auto' } };
const client = new Client({ name: 'test', version: '1' }, options);
await client.connect(transport);
const tools = (await client.listTools()).tools;
const run = (args) => client.callTool({ name: 'execute_python', arguments: args });
const result = await run({ code: CODE, return_files: ['a.png'] });
const failed = await run({ code: '1/0' });
const wrong = await run({ script: '1' });
const together = await Promise.all([0, 1, 2, 3].map((number) => run({ code: `print(${number})` })));
const last = (text) => text.split('\n').slice(-1)[0];
console.log(JSON.stringify({
  version: client.getNegotiatedProtocolVersion?.() ?? null,
  tools: tools.map((tool) => tool.name),
  text: result.content[0].text,
  picture: Buffer.from(result.content[1].data, 'base64').subarray(0, 8).toString('hex'),
  failed: [failed.isError, last(failed.content[0].text)],
  wrong: [wrong.isError, wrong.content[0].text],
  together: together.map((answer) => answer.content[0].text),
}));
await client.close();
