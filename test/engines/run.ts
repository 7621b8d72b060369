// Runs everything; ends with the count.
import { checkBrowsers, closeServers } from './browsers.ts';
import { checkBundlers, checkTools } from './bundlers.ts';
import { close } from './checks.ts';
import { checkCompilers, checkConsumers, checkHosts } from './hosts.ts';

await checkTools();
await checkCompilers();
await checkHosts();
await checkConsumers();
await checkBundlers();
await checkBrowsers();
closeServers();
close();
