import { tearDown } from './scratch-folder.ts';

export default tearDown;
