import { checkBrowsers, closeServers } from './browsers.ts';
import { close } from './checks.ts';
import { checkConsumers, checkHosts } from './hosts.ts';

await checkHosts();
await checkConsumers();
await checkBrowsers();
closeServers();
close();
