import '@xyflow/react/dist/base.css';
import './base.css';
import './panel.css';
import './row.css';
import './topology.css';
