// Bundles an application with webpack: node webpack.js ENTRY TARGET FOLDER
import webpack from 'webpack';

const [entry, target, path] = process.argv.slice(2);
const options = {
  mode: 'production',
  context: import.meta.dirname,
  entry,
  target,
  output: { path },
};
webpack(options, (error, stats) => {
  console.log(stats?.toString());
  if (error) console.error(error);
  process.exitCode = error || stats.hasErrors() || stats.hasWarnings() ? 1 : 0;
});
